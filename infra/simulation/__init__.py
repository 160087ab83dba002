"""Shared parts of the synthetic worlds: random streams, draws without replacement, and the writer of a day's log."""
