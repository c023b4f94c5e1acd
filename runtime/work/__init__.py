"""Worker processes: each holds a bundle's engines and makes one batch at a time."""
