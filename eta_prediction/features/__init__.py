"""Estimates as of a time, computed by the same code for the build and for the worker."""
