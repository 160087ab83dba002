"""The monitor: alerts, drift, rollouts and metrics of a running lab."""
