"""The metadata of a file of packages' constants: written by the compiler, read by the runtime."""

CHANNELS_LAST = "mixdq.channels_last"
"""The key of the names of the `[N, C, R, S]` tensors that the file holds as `[N, R, S, C]`."""
