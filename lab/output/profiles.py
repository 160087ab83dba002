"""Prints the CPU time of processes by part of the code, as tables or as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lab.load.profile import ProcessProfile
from lab.load.stacks import samples_by_function, samples_by_part
from lab.output.console import print_table

SMALLEST = 0.01
"""Parts below this share of a process's CPU time stand together in one row."""
FUNCTIONS = 40


def profile_json(profiles: Sequence[ProcessProfile], design: str, requests: int) -> dict[str, Any]:
    """The parts of each process, and the functions that were innermost most often."""
    return {
        "requests": requests,
        "processes": [
            {
                "process": profile.name,
                "cpu_s": round(profile.cpu_s, 3),
                "samples": profile.stacks.total(),
                "cpu_ms_per_request": profile.cpu_ms(profile.stacks.total(), requests),
                "parts": {
                    part: profile.cpu_ms(samples, requests)
                    for part, samples in samples_by_part(profile.stacks, design).most_common()
                },
                "functions": {
                    function: profile.cpu_ms(samples, requests)
                    for function, samples in samples_by_function(profile.stacks).most_common(FUNCTIONS)
                },
            }
            for profile in profiles
        ],
    }


def show_profile(profiles: Sequence[ProcessProfile], design: str, requests: int) -> None:
    """Print a table for each process."""
    for profile in profiles:
        total = profile.stacks.total()
        rows, rest = list[list[Any]](), 0
        for part, samples in samples_by_part(profile.stacks, design).most_common():
            if samples < SMALLEST * total:
                rest += samples
            else:
                rows.append([part, profile.cpu_ms(samples, requests), samples / total])
        if rest:
            rows.append(["other parts", profile.cpu_ms(rest, requests), rest / total])
        cells = [[part, f"{cpu_ms:.3f}", f"{share:.1%}"] for part, cpu_ms, share in rows]
        title = f"{profile.name}: {profile.cpu_ms(total, requests):.2f} CPU-ms a request"
        print_table(("part", "CPU-ms a request", "share"), cells, title=f"{title} ({requests:,} requests)")
