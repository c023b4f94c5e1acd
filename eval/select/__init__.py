"""The best plan, resolution and back end within wishes, from what was measured."""
