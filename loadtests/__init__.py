"""Locust users and counters of their responses. The load tests use HTTP only; `lab load` judges the counts."""
