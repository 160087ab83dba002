"""Event schemas, their tables on disk, and reading the history back."""
