"""The report as HTML pages: `index.html` with all days, and one page a day with every check and its broken rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from infra.data_quality.results import DAYS, Finding, Report, worst

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #1b1f24 }
table { border-collapse: collapse; width: 100%; margin: 0.6rem 0 1.6rem }
th, td { text-align: left; padding: 0.3rem 0.7rem; border-bottom: 1px solid #d8dee4; vertical-align: top }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums }
.passed { color: #1a7f37 } .warned { color: #9a6700; font-weight: 600 } .failed { color: #cf222e; font-weight: 600 }
a { white-space: nowrap }
code { font-size: 0.9em; overflow-wrap: anywhere }
"""
NUMBER = "number"
Cell = tuple[str, str]
"""the HTML of a cell, and its class"""


def write_pages(directory: Path, report: Report) -> None:
    """Write `index.html` and `days/DAY.html`. The pages need no network."""
    (directory / DAYS).mkdir(parents=True, exist_ok=True)
    (directory / "index.html").write_text(index_page(report))
    for day in report.days:
        (directory / DAYS / f"{day or 'tables'}.html").write_text(day_page(report, day))


def index_page(report: Report) -> str:
    """All days, one row each: the rows of every table with days, the numbers of warnings and failures."""
    tables = [name for name, by_day in report.rows.items() if set(by_day) - {""}]
    header = [("day", ""), ("status", ""), ("warnings", NUMBER), ("failures", NUMBER), *((t, NUMBER) for t in tables)]
    rows = []
    for day in report.days:
        findings = report.of_day(day)
        status = worst(finding.status for finding in findings)
        counts = [sum(finding.status == wanted for finding in findings) for wanted in ("warned", "failed")]
        rows.append(
            [
                (_link(day), ""),
                (status, status),
                *((f"{count:,}", NUMBER) for count in counts),
                *((f"{report.rows[name][day]:,}" if day in report.rows[name] else "", NUMBER) for name in tables),
            ]
        )
    broken = [*report.with_status("failed"), *report.with_status("warned")]
    found = _findings(broken, with_day=True) if broken else "<p>Every check passed.</p>"
    return _page(report, "all days", f"<h2>Failures and warnings</h2>{found}<h2>Days</h2>{_table(header, rows)}")


def day_page(report: Report, day: str) -> str:
    """Every check of one day, by table."""
    findings = report.of_day(day)
    parts = ['<p><a href="../index.html">all days</a></p>']
    for table in dict.fromkeys(finding.table for finding in findings):
        mine = sorted((one for one in findings if one.table == table), key=lambda one: one.status == "passed")
        parts.append(f"<h2>{escape(table)}</h2>{_findings(mine, with_day=False)}")
    return _page(report, day or "tables without days", "".join(parts))


def _page(report: Report, what: str, body: str) -> str:
    title = f"Data quality of {report.design} ({report.preset}): {what}"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style></head><body><h1>{escape(title)}</h1>{body}</body></html>"
    )


def _findings(findings: Iterable[Finding], *, with_day: bool) -> str:
    header = [("check", ""), ("kind", ""), ("status", ""), ("rows", NUMBER), ("broken", NUMBER)]
    header = [
        *([("day", ""), ("table", "")] if with_day else []),
        *header,
        ("tolerated", ""),
        ("first broken rows", ""),
    ]
    rows: list[list[Cell]] = []
    for one in findings:
        samples = "".join(
            f"<div><code>{escape(', '.join(f'{name}={value}' for name, value in sample.items()))}</code></div>"
            for sample in one.samples
        )
        rows.append(
            [
                *([(_link(one.day), ""), (escape(one.table), "")] if with_day else []),
                (escape(one.rule), ""),
                (one.kind.replace("_", " "), ""),
                (one.status, one.status),
                (f"{one.rows:,}", NUMBER),
                (f"{one.broken:,}", NUMBER),
                (escape(one.limit), ""),
                (escape(one.detail) + samples, ""),
            ]
        )
    return _table(header, rows)


def _link(day: str) -> str:
    """The link from the index to the page of a day."""
    return f'<a href="{DAYS}/{day or "tables"}.html">{day or "tables without days"}</a>'


def _table(header: Sequence[Cell], rows: Iterable[Sequence[Cell]]) -> str:
    def line(cells: Iterable[Cell], tag: str) -> str:
        return "".join(f'<{tag} class="{kind}">{html}</{tag}>' for html, kind in cells)

    body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    return f"<table><thead><tr>{line(header, 'th')}</tr></thead><tbody>{body}</tbody></table>"
