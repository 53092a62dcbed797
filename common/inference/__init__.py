"""Export, int8 quantisation and sessions on ONNX Runtime; batch engines: this machine, or a Ray cluster."""
