"""The true law of a trip's time, given what a server could know."""
