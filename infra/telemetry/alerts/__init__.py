"""Alerts: rules from budgets, their evaluation in Prometheus and in the monitor, and the alerts that fired."""
