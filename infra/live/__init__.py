"""A running world: its clock, and arrays that are watched for changes."""
