"""The log of served predictions: reading it back, and the results of replay and skew."""
