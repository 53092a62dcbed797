"""Export, int8 quantisation and sessions on ONNX Runtime; batch engines: this machine, or a Ray cluster."""

import os

# ONNX Runtime reports its use to its maker, with an id of the machine that it keeps in ~/.cache. It reads this when it
# is imported; what the user has set goes before.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
