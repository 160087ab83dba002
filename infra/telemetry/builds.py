"""Metrics of builds and of data quality, read from the files of each design at scrape time.

A build is a process that ends, so it cannot be scraped itself. The monitor exports these metrics in its place.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from infra.build.outcome import REPORT_FOLDER, failed_report, read_outcome
from infra.data_quality.results import REPORT
from infra.settings import Settings

CURRENT, SUMMARY, VALIDATE = "current.json", "step.json", "validate"


class BuildMetrics(Collector):
    """Metrics of the current build, the last outcome and the newest data-quality report of each design."""

    def __init__(self, designs: Sequence[str], settings: Settings) -> None:
        self._roots = {name: settings.design_root(name) for name in designs}

    def collect(self) -> Iterator[Metric]:
        def gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
            return GaugeMetricFamily(f"lab_{name}", text, labels=["design", *labels])

        failed = gauge("build_failed", "1 if the last build ended with an error")
        succeeded = gauge("build_last_success_timestamp_seconds", "end of the last successful build")
        seconds = gauge("build_step_seconds", "duration of a step of the current build", "step")
        peak = gauge("build_step_peak_bytes", "peak memory of a step of the current build", "step")
        counts = gauge("build_step_count", "counts that a step of the current build reports", "step", "of")
        failures = gauge("data_quality_failures", "failed checks of the newest report")
        warnings = gauge("data_quality_warnings", "warnings of the newest report")
        checked = gauge("data_quality_checked_timestamp_seconds", "time of the newest report")
        for name, root in self._roots.items():
            if outcome := read_outcome(root):
                failed.add_metric([name], float(bool(outcome.error)))
                if outcome.succeeded_ts:
                    succeeded.add_metric([name], outcome.succeeded_ts)
            current = _read(root / CURRENT)
            for step, path in current.items():
                summary = _read(Path(str(path)) / SUMMARY)
                if summary:
                    seconds.add_metric([name, step], float(summary["seconds"]))
                    peak.add_metric([name, step], float(summary["peak_mb"]) * 1e6)
                    for fact, value in summary["facts"].items():
                        if type(value) is int and fact != "version":
                            counts.add_metric([name, step, fact], float(value))
            for file in (failed_report(root) / REPORT, Path(current.get(VALIDATE, root)) / REPORT_FOLDER / REPORT):
                if report := _read(file):
                    failures.add_metric([name], float(len(report["failures"])))
                    warnings.add_metric([name], float(len(report["warnings"])))
                    checked.add_metric([name], file.stat().st_mtime)
                    break
        yield from (failed, succeeded, seconds, peak, counts, failures, warnings, checked)


def _read(path: Path) -> dict[str, Any]:
    """The JSON object in a file; empty if the file is missing or damaged."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
