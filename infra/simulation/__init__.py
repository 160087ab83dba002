"""What the generated worlds share: random streams, draws without replacement, and the writer of a day's log."""
