"""ONNX to ONNX: one graph pass a file, on `onnx_ir`."""
