"""Studies that are run by hand: what the log can teach at most, and what training costs."""
