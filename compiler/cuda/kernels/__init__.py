"""Torch operators of quantized layers: Triton kernels, and CPU versions that accumulate the same integers."""
