"""Draws how the cost of steps and stages grows: both axes are logarithmic, so that a slope is an exponent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from lab.bench.growth.lines import lines_of
from lab.bench.growth.sizes import Size

WIDTH, HEIGHT = 260, 300
PANELS = (
    ("s", "rows of the history", "seconds of a step"),
    ("MB", "rows of the history", "peak memory of a step, MB"),
    ("ms", "what a request searches", "milliseconds of a stage"),
)


def draw(sizes: Sequence[Size], title: str) -> Any:
    """Return an Altair chart with a panel for times of steps, one for their memory, and one for times of stages."""
    panels = [_panel(sizes, unit, x, y) for unit, x, y in PANELS]
    heading = alt.TitleParams(
        f"{title}: how cost grows",
        subtitle="Both axes are logarithmic. The dashed line has the slope 1: twice the size, twice the cost.",
        anchor="start",
        fontSize=15,
        subtitlePadding=6,
        offset=14,
    )
    return (
        alt.hconcat(*panels, spacing=30)
        .resolve_scale(color="independent")
        .properties(title=heading, background="white")
    )


def _panel(sizes: Sequence[Size], unit: str, x: str, y: str) -> Any:
    rows, scale = [], alt.Scale(type="log", nice=False, padding=14)
    for line in lines_of(sizes):
        if line.unit == unit:
            numbers = [getattr(one, line.against) for one in sizes]
            rows += [
                {"x": number, "y": value, "what": line.what}
                for number, value in zip(numbers, line.values, strict=True)
                if value > 0
            ]
    largest, (low, high) = max(row["y"] for row in rows), (min(row["x"] for row in rows), max(row["x"] for row in rows))
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        alt.X("x:Q", title=x, scale=scale, axis=alt.Axis(format="~s", tickCount=4)),
        alt.Y("y:Q", title=y, scale=scale, axis=alt.Axis(format="~g", tickCount=5)),
        alt.Color("what:N", title=None, sort=None, scale=alt.Scale(scheme="tableau20")),
    )
    linear = [{"x": low, "y": largest * low / high}, {"x": high, "y": largest}]
    slope = (
        alt.Chart(alt.InlineData(values=linear))
        .mark_line(color="#999999", strokeDash=[5, 4], clip=True)
        .encode(alt.X("x:Q", scale=scale), alt.Y("y:Q", scale=scale))
    )
    return alt.layer(slope, base.mark_line(), base.mark_point(filled=True, size=45)).properties(
        width=WIDTH, height=HEIGHT
    )
