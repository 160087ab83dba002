"""Simulated users of a running service. They use only its HTTP API."""
