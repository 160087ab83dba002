"""Feast behind one port: online read of one entity row, offline point-in-time join, push; and parity checks."""
