"""Bundle to images."""
