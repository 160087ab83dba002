"""The data-quality step of a build: run the checks, write the reports, and stop the build if a check fails.

The reports of a step that passes are in its output. If it fails, the runner keeps its folder `report`
(`infra.build.outcome`), where `lab quality` finds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from infra.build.outcome import REPORT_FOLDER
from infra.build.runner import Facts, StepContext
from infra.data_quality.checks import LogTable
from infra.data_quality.measure import check_log
from infra.data_quality.page import write_pages
from infra.data_quality.results import Report, write_report
from infra.errors import DataRejected
from infra.simulation.streams import HistorySpan, start_ts

SHOWN = 3
"""failures that the error message shows; the report has all"""


def validate(context: StepContext, tables: Sequence[LogTable], span: HistorySpan) -> Facts:
    """Write `report/` with a JSON file and a page for each day. Returns the numbers of rows, checks and warnings.

    Raises `DataRejected` with the rows and the rule if a check fails.
    """
    days = [str(datetime.fromtimestamp(start_ts(span, day), UTC).date()) for day in range(span.days)]
    report = check_log(context.design.name, context.settings.preset, tables, context.inputs, days, context.report)
    directory = context.out / REPORT_FOLDER
    write_report(directory, report)
    write_pages(directory, report)
    refuse_failures(report)
    return {
        "rows": sum(count for by_day in report.rows.values() for count in by_day.values()),
        "checks": len(report.findings),
        "warnings": len(report.with_status("warned")),
    }


def refuse_failures(report: Report) -> None:
    """Raise `DataRejected` with the first failures if there is one."""
    failures = report.with_status("failed")
    if not failures:
        return
    shown = "\n".join(f"  {failure}" for failure in failures[:SHOWN])
    more = f"\n  and {len(failures) - SHOWN} more" if len(failures) > SHOWN else ""
    raise DataRejected(
        f"{report.design}: checks of the log that failed: {len(failures)} of {len(report.findings):,}\n{shown}{more}",
        hint=f"see all: lab quality {report.design}; repair the rows, or move their file away, and build again",
    )
