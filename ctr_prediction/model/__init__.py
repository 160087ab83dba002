"""Scores and decisions: pure functions of features, and the artifacts that these functions need."""
