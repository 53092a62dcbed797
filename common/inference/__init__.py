"""Export, int8 quantisation and sessions on ONNX Runtime."""
