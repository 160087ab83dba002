"""Checks of the event log before a build learns from it, as values, and the report of what they find."""
