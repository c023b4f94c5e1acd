"""Whether sensitivities, measured one layer at a time, foretell what a whole plan is worth."""
