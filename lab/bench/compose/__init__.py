"""`lab bench compose`: the composed setting's times, memory and promises, with Docker."""
