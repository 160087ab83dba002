"""Features -> quantiles of a trip's time: pure functions, and the artifacts that they need."""
