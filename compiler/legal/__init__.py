"""What a target really runs: its legal precisions, and plans made legal for it."""
