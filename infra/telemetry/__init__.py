"""Metrics and logs of running services."""
