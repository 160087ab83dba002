"""Real logs of clicks, from files: read, encoded, learned by the same model, and compared with simpler ones."""
