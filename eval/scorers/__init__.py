"""Learned scorers whose weights the user brings: CLIP, ImageReward, LPIPS."""
