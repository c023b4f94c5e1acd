"""Where a component's weights come from: each source gives tensors by name, one at a time."""
