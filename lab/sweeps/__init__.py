"""Sweeps: one experiment over the values of some knobs, with a chart and a finding."""
