"""The log of served predictions: reading it back, replaying it, and the results of replay and skew checks."""
