"""Measures of speed for the benchmarks of the designs: functions that alternate, a closed loop, a reference app."""
