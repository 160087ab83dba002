"""Faults as values, and the wrappers that put them at a port. Business code never asks whether it is tested."""
