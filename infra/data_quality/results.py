"""What the checks found: one `Finding` per rule and day, and the report of one build. Plain values, stored as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:  # the checks import Arrow, which a reader of reports does not need
    from infra.data_quality.checks import Kind

Status = Literal["passed", "warned", "failed"]
ORDER: tuple[Status, ...] = ("passed", "warned", "failed")
REPORT = "report.json"
DAYS = "days"


@dataclass(frozen=True)
class Finding:
    """How many of the `rows` of one day break one rule. `day` is empty for a table without days.

    `limit` is the largest share (or, for a volume, the accepted range) that does not fail, in words. `samples` are the
    first broken rows, each with its file, its row number in the file, and the columns of the rule.
    """

    table: str
    day: str
    rule: str
    kind: Kind
    status: Status
    rows: int
    broken: int
    limit: str = ""
    detail: str = ""
    samples: tuple[Mapping[str, Any], ...] = field(default=())

    @property
    def where(self) -> str:
        return f"{self.table}, {self.day}" if self.day else self.table

    def __str__(self) -> str:
        text = f"{self.where}: {self.rule}: {self.detail or f'{self.broken:,} of {self.rows:,} rows break it'}"
        if not self.samples:
            return text
        first = dict(self.samples[0])
        place = f"{first.pop('file', '')} row {first.pop('row', '')}"
        return f"{text}, for example {place}: {', '.join(f'{name}={value}' for name, value in first.items())}"


@dataclass(frozen=True)
class Report:
    """All findings of one build. `rows` maps table and day to the number of rows."""

    design: str
    preset: str
    rows: Mapping[str, Mapping[str, int]]
    findings: tuple[Finding, ...]

    @property
    def status(self) -> Status:
        return worst(finding.status for finding in self.findings)

    @property
    def days(self) -> list[str]:
        """The days of the log in order; tables without days come first, as the day ""."""
        return sorted({day for days in self.rows.values() for day in days} | {one.day for one in self.findings})

    def of_day(self, day: str) -> list[Finding]:
        return [finding for finding in self.findings if finding.day == day]

    def with_status(self, status: Status) -> list[Finding]:
        return [finding for finding in self.findings if finding.status == status]


def worst(statuses: Iterable[Status]) -> Status:
    return max(statuses, key=ORDER.index, default="passed")


def write_report(directory: Path, report: Report) -> None:
    """Write `report.json` with the status, the counts and the findings that did not pass, and `days/DAY.json` with all
    findings of each day."""
    (directory / DAYS).mkdir(parents=True, exist_ok=True)
    for day in report.days:
        findings = report.of_day(day)
        content = {
            "design": report.design,
            "preset": report.preset,
            "day": day,
            "status": worst(finding.status for finding in findings),
            "rows": {table: days[day] for table, days in report.rows.items() if day in days},
            "findings": [asdict(finding) for finding in findings],
        }
        (directory / DAYS / f"{day or 'tables'}.json").write_text(json.dumps(content, indent=1, default=str))
    whole = {
        "design": report.design,
        "preset": report.preset,
        "status": report.status,
        "checks": len(report.findings),
        "rows": report.rows,
        "failures": [asdict(finding) for finding in report.with_status("failed")],
        "warnings": [asdict(finding) for finding in report.with_status("warned")],
    }
    (directory / REPORT).write_text(json.dumps(whole, indent=1, default=str))
