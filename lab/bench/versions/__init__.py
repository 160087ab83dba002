"""Compares two versions of the lab under the same load, in turns on one machine (`lab bench versions`)."""
