"""Time and memory, each configuration in a process of its own."""
