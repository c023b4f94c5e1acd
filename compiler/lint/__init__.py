"""Rules that a finished graph must keep; each is one file."""
