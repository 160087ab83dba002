"""The networks and how they are fitted (training only)."""
