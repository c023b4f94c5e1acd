"""Back ends against each other, and a failing graph reduced to its guilty layer."""
