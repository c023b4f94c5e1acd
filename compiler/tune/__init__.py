"""Never slower, never black: engines measured layer by layer, and what got slower given back."""
