"""What serving holds in memory: the city with its road graph, and the newest state of its roads."""
