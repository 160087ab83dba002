"""The commands, grouped by what one wants: look, make, run, use."""
