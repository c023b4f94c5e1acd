"""Judging what was built: similarity, speed, size, and pictures to look at."""
