"""The planted truth of the ETA design: city, traffic, incidents, trips, and the oracle that knows their law."""
