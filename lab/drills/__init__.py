"""Failure drills: the load, the fault injection, the verdict and the report."""
