"""Formats output: tables, figures, responses and errors on the terminal, and published figures."""
