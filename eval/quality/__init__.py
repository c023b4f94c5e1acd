"""How good pictures are: distances between sets, similarity of pairs, scores against prompts."""
