"""The stream worker: events → log, speeds and open incidents, and drivers' rows. It runs in its own process."""
