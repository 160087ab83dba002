"""Simulated people who use a running service over HTTP."""
