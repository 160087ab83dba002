"""Draws the chart of a sweep: the cost of each setting against its value, with the Pareto front."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import altair as alt

from lab.sweeps.findings import front
from lab.sweeps.run import TIMES, Setting

WIDTH, HEIGHT = 560, 340
LETTERS_PER_LINE = 92
AXES = {"p50_ms": "p50 of a request, ms", "p99_ms": "p99 of a request, ms", "cpu_ms": "processor time of a request, ms"}


def draw(settings: Sequence[Setting], x: str, y: str, *, question: str, finding: str, note: str) -> Any:
    """Return an Altair chart. The first knob labels the points; the other knobs colour the points."""
    first, *others = settings[0].knobs
    ahead = front(settings, x, y)
    rows = [_row(setting, x, y, first, others, on_front=setting in ahead) for setting in settings]
    base = alt.Chart(alt.InlineData(values=rows))
    axis_x = alt.X("x:Q", title=_title(settings, x), scale=alt.Scale(zero=False, padding=24))
    axis_y = alt.Y("y:Q", title=_title(settings, y), scale=alt.Scale(zero=False, padding=18))
    colour: Any = alt.value("#2f6f9f")
    if others:
        colour = alt.Color("group:N", title=", ".join(others), scale=alt.Scale(scheme="tableau10"), sort=None)
    tooltip = [alt.Tooltip(f"{name}:N") for name in ("setting", "p50 ms", "p99 ms", "cpu ms", "worth")]
    layers = [
        base.transform_filter("datum.front")
        .mark_line(color="#bbbbbb", strokeWidth=6, opacity=0.5)
        .encode(axis_x, axis_y),
        base.mark_rule(opacity=0.6).encode(axis_x, alt.Y("y_low:Q"), alt.Y2("y_high:Q"), color=colour),
        base.mark_rule(opacity=0.6).encode(alt.X("x_low:Q"), axis_y, alt.X2("x_high:Q"), color=colour),
        base.mark_point(filled=True, size=70, opacity=1).encode(axis_x, axis_y, color=colour, tooltip=tooltip),
        base.mark_text(align="left", dx=8, dy=-8).encode(axis_x, axis_y, text="label:N", color=colour),
    ]
    lines = textwrap.wrap(finding, LETTERS_PER_LINE) + textwrap.wrap(
        f"{note} Labels: {first}. Bars: 95% intervals. Grey: the settings that no other setting beats on both axes.",
        LETTERS_PER_LINE,
    )
    title = alt.TitleParams(question, subtitle=lines, anchor="start", fontSize=15, subtitlePadding=6, offset=14)
    return alt.layer(*layers).properties(width=WIDTH, height=HEIGHT, title=title, background="white")


def save(chart: Any, directory: Path) -> None:
    """Write `chart.html` (self-contained), `chart.png` and `chart.svg` into `directory`."""
    chart.save(str(directory / "chart.html"), inline=True)
    chart.save(str(directory / "chart.png"), scale_factor=2)
    chart.save(str(directory / "chart.svg"))


def _row(setting: Setting, x: str, y: str, first: str, others: list[str], *, on_front: bool) -> dict[str, Any]:
    (x_low, x_high), (y_low, y_high) = setting.spread(x), setting.spread(y)
    row: dict[str, Any] = {"x": setting.value(x), "x_low": x_low, "x_high": x_high}
    row |= {"y": setting.value(y), "y_low": y_low, "y_high": y_high, "front": on_front}
    row |= {"label": _text(setting.knobs[first]), "group": ", ".join(_text(setting.knobs[name]) for name in others)}
    row |= {"setting": setting.label, "worth": f"{setting.value(y):.4g} ({y_low:.4g} to {y_high:.4g})"}
    return row | {name.replace("_", " "): f"{setting.value(name):.2f}" for name in TIMES}


def _title(settings: Sequence[Setting], axis: str) -> str:
    if axis in AXES:
        return AXES[axis]
    score = settings[0].scores[axis]
    return f"{score.text}, {score.unit}" if score.unit else score.text


def _text(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"
