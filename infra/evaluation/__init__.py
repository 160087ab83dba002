"""Figures, intervals, experiments and drills as values."""
