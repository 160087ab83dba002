"""Reads real road maps."""
