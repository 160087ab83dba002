"""The generated world: users, creators, posts, the logged sessions, and the oracle of true probabilities.

Features, training and serving never import it. Only `offline.generate` (which writes the log) and `evaluation` (which
queries the oracle) do; the simulated visitors reach a service over HTTP.
"""
