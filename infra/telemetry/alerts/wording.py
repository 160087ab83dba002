"""Fills the templates of alert texts as Prometheus does, for the part of its template language that the rules use."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

PLACEHOLDER = re.compile(r"\{\{ \$(labels\.(?P<label>\w+)|value)(?: \| (?P<function>\w+))? \}\}")
UNITS = ((86_400.0, "d"), (3600.0, "h"), (60.0, "m"))


def fill(template: str, labels: Mapping[str, str], value: float) -> str:
    """Replace `{{ $labels.name }}` and `{{ $value }}`, the latter optionally with a function such as
    `humanizePercentage`."""

    def put(found: re.Match[str]) -> str:
        if name := found["label"]:
            return labels.get(name, "")
        return FUNCTIONS[found["function"] or "plain"](value)

    return PLACEHOLDER.sub(put, template)


def humanize_duration(seconds: float) -> str:
    """Seconds as Prometheus writes them: `3m 30s`, or `290ms` below a second."""
    if seconds < 1:
        return f"{seconds * 1000:.4g}ms"
    parts: list[str] = []
    rest = round(seconds)
    for size, unit in UNITS:
        count, rest = divmod(rest, int(size))
        if count or parts:
            parts.append(f"{count}{unit}")
    return " ".join([*parts, f"{rest}s"])


FUNCTIONS: Mapping[str, Callable[[float], str]] = {
    "plain": lambda value: f"{value:.4g}",
    "humanizePercentage": lambda value: f"{value * 100:.4g}%",
    "humanizeDuration": humanize_duration,
}
