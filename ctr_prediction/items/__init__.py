"""What serving holds in memory of ads: a snapshot and its live counts."""
