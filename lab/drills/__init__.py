"""Failure drills: load, a fault, the verdict and the report."""
