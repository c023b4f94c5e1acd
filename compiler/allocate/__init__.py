"""Which layer gets how many bits: integer programmes over measured sensitivities."""
