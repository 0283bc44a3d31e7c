"""The network as two ONNX files (docs/onnx.md), and the engine that runs them in ONNX Runtime. An optional extra."""
