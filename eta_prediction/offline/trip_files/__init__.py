"""Builds from real maps and trip files that the user provides."""
