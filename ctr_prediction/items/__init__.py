"""Ad data that serving holds in memory: a snapshot and its live counts."""
