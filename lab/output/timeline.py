"""The timeline of a design as rows of a table, and as an HTML page without external resources."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape

from infra.telemetry.timeline import Entry

COLUMNS = ("at (UTC)", "world time", "kind", "what")
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #1b1f24 }
table { border-collapse: collapse; width: 100%; margin: 0.6rem 0 1.6rem }
th, td { text-align: left; padding: 0.3rem 0.7rem; border-bottom: 1px solid #d8dee4; vertical-align: top }
td.time { white-space: nowrap; font-variant-numeric: tabular-nums }
td.kind { white-space: nowrap; font-weight: 600 }
.shift, .drift { color: #9a6700 } .rollback, .stop { color: #cf222e } .build, .promotion { color: #1a7f37 }
.shadow, .canary { color: #0969da }
.facts { color: #57606a; font-size: 0.9em; overflow-wrap: anywhere }
"""


def rows_of(entries: Sequence[Entry]) -> list[list[str]]:
    """One row of `COLUMNS` per entry."""
    return [[_shown(entry.at), _world_time(entry), entry.kind, entry.text] for entry in entries]


def timeline_page(design: str, preset: str, entries: Sequence[Entry]) -> str:
    """The page, oldest entry first, with the facts of each entry."""
    title = f"Timeline of {design} ({preset})"
    header = "".join(f"<th>{escape(name)}</th>" for name in COLUMNS)
    body = "".join(map(_row, entries))
    table = f"<table><thead><tr>{header}</tr></thead><tbody>{body}</tbody></table>"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style></head><body><h1>{escape(title)}</h1>"
        f"{table if entries else '<p>Nothing is recorded yet.</p>'}</body></html>\n"
    )


def _row(entry: Entry) -> str:
    facts = escape(", ".join(f"{name} {value}" for name, value in entry.facts.items()))
    told = escape(entry.text) + (f'<div class="facts">{facts}</div>' if facts else "")
    return (
        f'<tr><td class="time">{escape(_shown(entry.at))}</td><td class="time">{escape(_world_time(entry))}</td>'
        f'<td class="kind {escape(entry.kind)}">{escape(entry.kind)}</td>'
        f"<td>{told}</td></tr>"
    )


def _shown(at: str) -> str:
    return datetime.fromisoformat(at).strftime("%Y-%m-%d %H:%M:%S")


def _world_time(entry: Entry) -> str:
    if entry.world_ts is None:
        return ""
    return datetime.fromtimestamp(entry.world_ts, UTC).strftime("%Y-%m-%d %H:%M:%S")
