"""The vocabulary of mixdq: immutable types, their file formats, errors and presets."""
