"""What the lab can be asked while it runs: metrics and logs."""
