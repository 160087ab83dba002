"""Benchmarks: measures the figures that a design's `bench` bounds."""
