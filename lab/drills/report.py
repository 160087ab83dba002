"""Writes the results of a drill: a JSON journal, and a self-contained HTML page with the verdict and a timeline."""

from __future__ import annotations

import html
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np

from infra.evaluation.drill import PHASES
from infra.evaluation.figures import Figure
from infra.evaluation.shares import Judgement
from lab.drills.run import DrillRun, Verdict, measured

OUTCOMES = ("ok", "degraded", "failed")
COLOURS = ("#9fc5a8", "#e0a458", "#c0392b")
WIDTH = 760
VERDICT_TEXTS = {
    Judgement.HOLDS: "held",
    Judgement.BROKEN: "did not hold",
    Judgement.INCONCLUSIVE: "was not judged, because the machine was busy",
    Judgement.TOO_FEW: "was not judged, because there were too few requests",
}
PHASE_FIGURES = ("requests", "success_share", "p99_ms", "degraded_share")
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; margin: 1rem 0 } th, td { padding: .3rem .8rem; text-align: left }
th { border-bottom: 2px solid #888 } td { border-bottom: 1px solid #ddd } td.number { text-align: right }
.holds { color: #2e7d4f } .broken { color: #c0392b; font-weight: 600 }
"""


def journal(run: DrillRun, cost: Sequence[Figure]) -> dict[str, Any]:
    """The run as JSON values, without the single requests."""
    return {
        "drill": run.drill.name,
        "setting": run.setting,
        "url": run.url,
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        "holds": run.holds,
        "judgement": run.judgement.value,
        "machine": run.conditions.row(),
        "aborted": run.aborted,
        "phases": {
            name: {
                "from_s": round(begin, 2),
                "to_s": round(end, 2),
                **{figure: measured(run, name, figure) for figure in PHASE_FIGURES},
                "failed": failures(run, begin, end),
            }
            for name, (begin, end) in run.phases.items()
        },
        "breaker_open_s": run.breaker_open_s,
        "recovery_s": run.recovery_s,
        "probes": [verdict_row(verdict) for verdict in run.verdicts],
        "cost": [figure.row() for figure in cost],
        "events": [{"at_s": round(at_s, 2), "what": what} for at_s, what in run.events],
        "alerts": [asdict(alert) for alert in run.alerts],
        "seconds": seconds_of(run),
    }


def failures(run: DrillRun, begin_s: float, end_s: float) -> dict[str, int]:
    """Status -> number of requests without a successful response; `none` stands for no response in time."""
    found = Counter(one.status for one in run.sent if begin_s <= one.due_s <= end_s and one.status != 200)
    return {str(status or "none"): count for status, count in sorted(found.items())}


def verdict_row(verdict: Verdict) -> dict[str, Any]:
    probe, value = verdict.probe, verdict.value
    return {
        "phase": verdict.phase,
        "figure": probe.figure,
        "value": None if value is None else round(value, 4),
        "low": probe.low,
        "high": probe.high,
        "unit": probe.unit,
        "interval": verdict.interval and [round(end, 4) for end in verdict.interval],
        "judgement": verdict.judgement.value,
    }


def seconds_of(run: DrillRun) -> list[dict[str, Any]]:
    """Per second of the drill: the number of requests per outcome, and the p99 latency in milliseconds."""
    rows = []
    for second in range(int(max((one.due_s for one in run.sent), default=-1)) + 1):
        sent = [one for one in run.sent if int(one.due_s) == second]
        outcomes = ["failed" if one.status != 200 else "degraded" if one.degraded else "ok" for one in sent]
        row: dict[str, Any] = {"second": second, **{outcome: outcomes.count(outcome) for outcome in OUTCOMES}}
        rows.append(
            row | {"p99_ms": round(float(np.quantile([one.latency_ms for one in sent], 0.99)), 1) if sent else 0}
        )
    return rows


def write_report(directory: Path, run: DrillRun, cost: Sequence[Figure]) -> Path:
    """Write `journal.json` and `report.html` into `directory`; return the path of the page."""
    directory.mkdir(parents=True, exist_ok=True)
    found = journal(run, cost)
    (directory / "journal.json").write_text(json.dumps(found, indent=2))
    page = directory / "report.html"
    page.write_text(_page(run, found))
    return page


def _page(run: DrillRun, found: Mapping[str, Any]) -> str:
    drill = run.drill
    outcome = (
        f"was not judged, because the drill stopped early: {run.aborted}"
        if run.aborted
        else VERDICT_TEXTS[run.judgement]
    )
    probes = [
        [
            row["phase"],
            row["figure"],
            "not observed" if row["value"] is None else f"{row['value']:g} {row['unit']}",
            f"{row['low']:g} to {row['high']:g} {row['unit']}",
            _interval(row["interval"]),
            row["judgement"],
        ]
        for row in found["probes"]
    ]
    phases = [
        [
            name,
            *(_number(found["phases"][name][key]) for key in ("requests", "success_share", "p99_ms", "degraded_share")),
        ]
        for name in PHASES
        if name in found["phases"]
    ]
    cost = [
        [row["description"], f"{row['value']:.3f}", f"{row['low']:.3f} to {row['high']:.3f}"] for row in found["cost"]
    ]
    events = [[f"{row['at_s']:.1f} s", row["what"]] for row in found["events"]]
    alerts = [
        [
            f"{row['from_s']:.1f} s",
            "still firing" if row["to_s"] is None else f"{row['to_s']:.1f} s",
            row["severity"],
            row["name"],
            row["summary"],
        ]
        for row in found["alerts"]
    ]
    parts = [
        f"<h1>{html.escape(drill.title)}</h1>",
        f"<p>{html.escape(drill.hypothesis)}</p>",
        f'<p class="{"holds" if run.holds else "broken"}">The hypothesis {html.escape(outcome)}.</p>',
        *(f"<p>Busy machine: {html.escape(text)}.</p>" for text in run.conditions.disturbances),
        f"<p>{html.escape(run.conditions.describe())}.</p>",
        f"<p>Setting {run.setting}, {html.escape(run.url)}, {drill.rate_per_s:g} requests per second, "
        f"sent without waiting for responses, ended {found['ended']}.</p>",
        _timeline(run, found),
        "<h2>Hypothesis</h2>",
        _table(("phase", "figure", "measured", "must lie within", "95% interval", ""), probes),
        "<h2>Phases</h2>",
        _table(("phase", *PHASE_FIGURES), phases),
        "<h2>What it cost</h2><p>Captured value of this drill's responses, by the oracle: 1 is the best slate, 0 a "
        "random one.</p>",
        _table(("", "value", "95% interval"), cost),
        "<h2>Events</h2>",
        _table(("at", ""), events),
        "<h2>Alerts</h2>",
        _table(("from", "to", "severity", "alert", ""), alerts) if alerts else "<p>No alert fired.</p>",
    ]
    head = f'<meta charset="utf-8"><title>{html.escape(drill.title)}</title><style>{STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'


def _timeline(run: DrillRun, found: Mapping[str, Any]) -> str:
    """Inline SVG: responses per outcome and p99 latency per second, with the events as vertical lines."""
    seconds = found["seconds"]
    if not seconds:
        return "<p>No request was answered.</p>"
    counts = [
        {"second": row["second"] + 0.5, "outcome": outcome, "order": place, "answers": row[outcome]}
        for row in seconds
        for place, outcome in enumerate(OUTCOMES)
    ]
    axis: Any = alt.X("second:Q", title=None, scale=alt.Scale(domain=[0, len(seconds)], nice=False))
    rules = alt.Chart(alt.InlineData(values=[{"second": at_s} for at_s, _ in run.events])).mark_rule(
        color="#444", strokeDash=[4, 3]
    )
    bars = (
        alt.Chart(alt.InlineData(values=counts))
        .mark_bar(size=WIDTH / len(seconds))
        .encode(
            alt.X("second:Q", title=None, scale=alt.Scale(domain=[0, len(seconds)], nice=False)),
            alt.Y("answers:Q", title="answers a second"),
            alt.Color("outcome:N", title=None, scale=alt.Scale(domain=list(OUTCOMES), range=list(COLOURS))),
            alt.Order("order:Q"),
        )
    )
    limit = next((probe.high for probe in run.drill.expect if probe.figure == "p99_ms"), None)
    slow: Any = (
        alt.Chart(alt.InlineData(values=[{**row, "second": row["second"] + 0.5} for row in seconds]))
        .mark_line(color="#2f6f9f")
        .encode(
            alt.X("second:Q", title="seconds", scale=alt.Scale(domain=[0, len(seconds)], nice=False)),
            alt.Y("p99_ms:Q", title="p99, ms"),
        )
    )
    if limit is not None:
        budget = (
            alt.Chart(alt.InlineData(values=[{"limit": limit}])).mark_rule(color="#c0392b").encode(alt.Y("limit:Q"))
        )
        slow = slow + budget
    above = (bars + rules.encode(axis)).properties(width=WIDTH, height=150)
    below = (slow + rules.encode(axis)).properties(width=WIDTH, height=110)
    parts = [above, below, *([_alert_bars(found["alerts"], len(seconds))] if found["alerts"] else [])]
    text = io.StringIO()
    alt.vconcat(*parts, background="white").save(text, format="svg")
    return (
        f"<figure>{text.getvalue()}</figure><p>Dashed lines: the events below. Red line: the budget. Bars: "
        "the alerts below.</p>"
    )


def _alert_bars(alerts: Sequence[Mapping[str, Any]], seconds: int) -> Any:
    """One row for each alert, with a bar while the alert fires."""
    rows = [{"alert": row["name"], "from": row["from_s"], "to": row["to_s"] or seconds} for row in alerts]
    bars = alt.Chart(alt.InlineData(values=rows)).mark_bar(color="#c0392b", height=8)
    return bars.encode(
        alt.X("from:Q", title=None, scale=alt.Scale(domain=[0, seconds], nice=False)),
        alt.X2("to:Q"),
        alt.Y("alert:N", title=None),
    ).properties(width=WIDTH, height=16 * len({row["alert"] for row in rows}))


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
    classes = {Judgement.HOLDS.value, Judgement.BROKEN.value}
    body = "".join(
        "<tr>"
        + "".join(
            f'<td class="{cell}">{cell}</td>' if cell in classes else f"<td>{html.escape(cell)}</td>" for cell in row
        )
        + "</tr>"
        for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _interval(ends: Sequence[float] | None) -> str:
    return "" if ends is None else f"{ends[0]:.4f} to {ends[1]:.4f}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
