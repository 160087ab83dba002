"""The drift report as one HTML page without external resources: verdict, plots over the windows, and moved inputs."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

import altair as alt

from infra.design import Design, resolve
from infra.settings import Settings
from infra.telemetry.drift.alarms import QUALITY, moved_inputs, wording
from infra.telemetry.drift.state import State, status_of
from infra.telemetry.drift.windows import ALL, Sums

WIDTH, HEIGHT, MOST_INPUTS, MOST_SEGMENTS = 860, 190, 12, 8
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; padding: 0 1rem; color: #1b1f24 }
table { border-collapse: collapse; margin: 0.6rem 0 1.6rem }
th, td { text-align: left; padding: 0.3rem 0.8rem; border-bottom: 1px solid #d8dee4 }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums }
.good { color: #1a7f37 } .bad { color: #cf222e; font-weight: 600 }
svg { max-width: 100%; height: auto }
"""


def write_report(file: Path, design: Design, settings: Settings, state: State) -> None:
    """Write the page. Plots cover the windows of all releases that are still stored."""
    source, status = resolve(design.drift), status_of(state)
    title = f"Drift of {design.name} ({settings.preset})"
    if status.is_drifted:
        since = datetime.fromtimestamp(status.drifted_at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        head = f'<p class="bad">Drifted since {since}: {escape("; ".join(status.reasons))}</p>'
    else:
        head = '<p class="good">No drift.</p>'
    facts = (
        f"<p>{escape(status.model_version or 'no model')}: {status.windows} windows since the release; the first "
        f"{status.reference} are the reference. A grey line is the value of the reference, red points are alarms.</p>"
    )
    parts = [head, facts]
    if state.windows:
        parts += [
            f"<h2>Calibration: {escape(source.ratio)}</h2>{_svg(_lines(state, 'calibration'))}",
            f"<h2>Loss: {escape(source.measure)}</h2>{_svg(_lines(state, 'loss'))}",
            f"<h2>Segments, newest window</h2>{_segments(state)}",
            f"<h2>Inputs, newest window: PSI against the reference</h2>{_inputs(state)}",
            f"<h2>Alarms</h2>{_alarms(state)}",
        ]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style></head><body><h1>{escape(title)}</h1>{''.join(parts)}</body></html>"
    )


def _lines(state: State, kind: str) -> Any:
    """One figure over the windows, with bars of two standard errors, and the reference as a grey line."""
    reference = Sums()
    for window in state.outcomes:
        reference = reference + getattr(window, kind)[ALL]
    rows = []
    for window, alarms in state.windows:
        sums = getattr(window, kind)[ALL]
        if sums.below:
            is_alarm = any(alarm.kind in QUALITY and alarm.name == ALL for alarm in alarms)
            rows.append(
                {
                    "at": datetime.fromtimestamp(window.ended_at, UTC).isoformat(),
                    "value": sums.ratio,
                    "low": sums.ratio - 2 * sums.error,
                    "high": sums.ratio + 2 * sums.error,
                    "model": window.version,
                    "colour": "#cf222e" if is_alarm else "#2f6f9f",
                }
            )
    base = alt.Chart(alt.InlineData(values=rows))
    x = alt.X("at:T", title="end of the window (UTC)", scale=alt.Scale(type="utc"))
    y = alt.Y("value:Q", title=kind, scale=alt.Scale(zero=False))
    layers = [
        base.mark_line(color="#9db8cc").encode(x, y, detail="model:N"),
        base.mark_rule(opacity=0.6).encode(
            x, alt.Y("low:Q"), alt.Y2("high:Q"), color=alt.Color("colour:N", scale=None)
        ),
        base.mark_point(filled=True, size=45, opacity=1).encode(x, y, color=alt.Color("colour:N", scale=None)),
    ]
    if reference.below:
        line = alt.Chart(alt.InlineData(values=[{"value": reference.ratio}]))
        layers.insert(0, line.mark_rule(color="#999999", strokeDash=[4, 4]).encode(y))
    return alt.layer(*layers).properties(width=WIDTH, height=HEIGHT, background="white")


def _svg(chart: Any) -> str:
    out = io.StringIO()
    chart.save(out, format="svg")
    return out.getvalue()


def _segments(state: State) -> str:
    status = status_of(state)
    pairs = [(name, now, before) for name, (now, before) in status.calibration.items()]
    pairs.sort(key=lambda one: -abs(one[1] / one[2] - 1) if one[2] else 0.0)
    rows = [(name, f"{now:.3f}", f"{before:.3f}") for name, now, before in pairs[:MOST_SEGMENTS]]
    return _table(("segment", "calibration", "reference"), rows)


def _inputs(state: State) -> str:
    moved = moved_inputs(state.windows[-1][0], state.inputs)
    largest = sorted(moved.items(), key=lambda one: -one[1])[:MOST_INPUTS]
    return _table(("input", "PSI"), [(name, f"{value:.3f}") for name, value in largest])


def _alarms(state: State) -> str:
    rows = [
        (str(window.number), window.version, "; ".join(wording(alarm) for alarm in alarms if alarm.kind in QUALITY))
        for window, alarms in state.windows
    ]
    shown = [row for row in rows if row[2]]
    return _table(("window", "model", "alarm"), shown) if shown else "<p>No window has an alarm about labels.</p>"


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"
