"""What the log of the running service tells: replay, skew, drift, and the verdict of a canary."""
