"""Keys of the metadata of a file of packages' constants: written by the compiler, read by the runtime."""

CHANNELS_LAST = "mixdq.channels_last"
"""The names of the `[N, C, R, S]` tensors that the file holds as `[N, R, S, C]`."""

SCRATCH = "mixdq.scratch"
"""Bytes of the GPU's memory that each package takes to compute, by its file's name."""
