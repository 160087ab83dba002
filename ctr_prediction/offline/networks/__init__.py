"""The networks and their fitting. Only training imports this package."""
