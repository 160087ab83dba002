"""Training on a click log that the user supplies (`lab build --data`)."""
