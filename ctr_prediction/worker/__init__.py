"""The stream worker: events → training rows, online features and live counts. It runs in its own process."""
