"""The generated world: users, campaigns, publishers, the logged auctions, and the oracle of true probabilities.

Features, training and serving never import it.
"""
