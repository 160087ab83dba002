"""Drift of a served model: compares windows of the live log with the first windows after the release."""
