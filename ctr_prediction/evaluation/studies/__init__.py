"""Studies outside the build: the ceiling of any model on this log, user × ad crosses, and the speed of a training
step."""
