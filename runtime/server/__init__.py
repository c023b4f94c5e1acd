"""The HTTP server: `mixdq-serve DIR`."""
