"""Pictures of many prompts, drawn by a bundle or by the reference pipeline, with a manifest."""
