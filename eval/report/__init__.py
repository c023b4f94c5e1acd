"""One self-contained page of everything that was measured, and of what it says to the claims."""
