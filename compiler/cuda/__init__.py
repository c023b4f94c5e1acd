"""The CUDA back end: a plan applied to the diffusers modules, compiled ahead of time by AOTInductor."""
