"""What serving holds in memory of posts: a snapshot and its live counts."""
