"""Candidates that budgets allow, judged on the model itself; the best is kept (paper, algorithm 1)."""
