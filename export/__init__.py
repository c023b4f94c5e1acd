"""Torch to ONNX: load a model, list its layers, export, calibrate, simulate quantization."""
