"""Studies of the world and of the models that no build runs."""
