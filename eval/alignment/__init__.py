"""The dual encoder that scores emoji against their prompts: its network, training and shipped weights."""
