"""The `lab` command, the supervisor of the embedded setting, benchmarks, drills, sweeps and load runs."""
