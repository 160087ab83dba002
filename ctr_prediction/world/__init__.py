"""The seeded ground truth: who likes what, who bids what, what was shown, what was clicked and when it was reported.

Nothing here is reachable from features, training or serving.
"""
