"""`lab bench growth`: how the cost of builds and requests grows with the size of the world."""
