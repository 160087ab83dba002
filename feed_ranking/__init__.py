"""Feed ranking: retrieve → rank → re-rank a slate of posts for one user in under 200 ms."""
