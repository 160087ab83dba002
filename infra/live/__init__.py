"""A running world: its clock, its live log, and arrays that services watch for changes."""
