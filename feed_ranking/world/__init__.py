"""The seeded ground truth: who likes what, what was shown, what was clicked, and the oracle that knows why.

Nothing here is reachable from features, training or serving; only `offline.steps` (which writes the log),
`offline.evaluate` (which asks the oracle) and `people` (who react to what is really served) import it.
"""
