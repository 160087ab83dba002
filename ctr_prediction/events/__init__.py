"""Event schemas, their tables on disk, and functions that read the history back."""
