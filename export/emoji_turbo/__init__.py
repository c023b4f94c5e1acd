"""The reference model emoji-turbo: its data, its architecture, and the code that trains it."""
