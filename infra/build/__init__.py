"""Which offline steps must run again, their outputs and fingerprints."""
