"""Locust users and the count of their answers. Speaks HTTP only; `lab load` judges."""
