"""Studies to run by hand: the ceiling of what the log can teach, user × ad crosses, and the cost of a training step."""
