"""Locust users and the verdict on them. Speaks HTTP only; budgets come from `GET /v1/design`."""
