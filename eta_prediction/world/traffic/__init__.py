"""The state of the roads: congestion, rush hours, rain and incidents, and what can be known of them."""
