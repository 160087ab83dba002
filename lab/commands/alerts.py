"""The command that shows the alerts of a running lab: alerts."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from infra.errors import DependencyError
from lab.commands.options import Json, Preset, settings_for
from lab.output.console import err, out, print_json, print_table

EVERY_S = 1.0
SHOWN = 20
"""number of ended alerts to print; `--json` prints all"""


def alerts(
    follow: Annotated[
        bool, typer.Option("--follow", help="print each alert as it begins and ends, until Ctrl-C")
    ] = False,
    preset: Preset = None,
    url: Annotated[str | None, typer.Option(help="address of the monitor")] = None,
    as_json: Json = False,
) -> None:
    """List the alerts that fire and those that have ended."""
    from lab.services.client import call
    from lab.services.ports import monitor_url_of

    address = f"{url or monitor_url_of(settings_for(preset))}/v1/alerts"
    found = call("GET", address)
    if as_json and not follow:
        print_json(found)
        return
    if not follow:
        _show(found)
        return
    known: set[str] = set()
    while True:
        for line in _lines(found):
            if line not in known:
                known.add(line)
                out.print(line, markup=False)
        time.sleep(EVERY_S)
        try:
            found = call("GET", address)
        except DependencyError as exc:
            err.print(f"{exc}", markup=False, soft_wrap=True)
            time.sleep(EVERY_S)


def _show(found: Mapping[str, Any]) -> None:
    if not found["active"]:
        out.print("no alert fires")
    rows = [[_clock(row["starts_ts"]), "firing", *_words(row)] for row in found["active"]]
    rows += [
        [_clock(row["starts_ts"]), f"ended {_clock(row['ends_ts'])}", *_words(row)] for row in found["recent"][:SHOWN]
    ]
    if rows:
        print_table(("began", "state", "severity", "alert", "summary"), rows)
    for row in found["active"]:
        out.print(f"{row['labels']['alertname']}: {row['action']}", markup=False)


def _lines(found: Mapping[str, Any]) -> list[str]:
    """One line for the begin of each alert and one for its end, in order of time."""
    rows = [*found["active"], *found["recent"]]
    events = [(row["starts_ts"], "firing", row) for row in rows]
    events += [(row["ends_ts"], "ended", row) for row in rows if row["ends_ts"]]
    events.sort(key=lambda event: event[:2])
    return [f"{_clock(at)}  {what:<6}  {'  '.join(_words(row))}" for at, what, row in events]


def _words(row: Mapping[str, Any]) -> list[str]:
    labels = row["labels"]
    return [labels.get("severity", ""), labels.get("alertname", ""), row["summary"]]


def _clock(ts: float) -> str:
    return datetime.fromtimestamp(ts, UTC).strftime("%H:%M:%S")
