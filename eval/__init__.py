"""Judge what was built."""
