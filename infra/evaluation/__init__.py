"""Figures, intervals, experiments, drills and the release gate."""
