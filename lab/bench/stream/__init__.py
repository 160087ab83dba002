"""Benchmarks of the event stream: consumer speed, delivery guarantees, and serving without a broker."""
