"""Quality and behaviour checks: gate, judge, replay, skew, sweeps, drills and benchmarks."""
