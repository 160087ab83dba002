"""Sweeps: one experiment over the values of a knob, with a chart and a finding."""
