"""Benchmarks of the learning loop: swaps, the shadow, a rollback, and a whole loop from a shift to a new champion."""
