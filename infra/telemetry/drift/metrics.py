"""Metrics of drift, read from the status file of each design at scrape time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from infra.settings import Settings
from infra.telemetry.drift.status import read_status


class DriftMetrics(Collector):
    """The newest window of each design. A design without a window has at most the number of damaged files."""

    def __init__(self, designs: Sequence[str], settings: Settings) -> None:
        self._roots = {name: settings.design_root(name) for name in designs}

    def collect(self) -> Iterator[Metric]:
        def gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
            return GaugeMetricFamily(f"lab_drift_{name}", text, labels=["design", *labels])

        detected = gauge("detected", "1 if the served model has drifted")
        windows = gauge("windows", "windows of the live log since the release")
        updated = gauge("window_end_timestamp_seconds", "end of the newest window")
        calibration = gauge("calibration_ratio", "actual / predicted of the newest window", "segment")
        usual = gauge("calibration_reference_ratio", "actual / predicted of the reference windows", "segment")
        loss = gauge("loss_ratio", "mean loss of the newest window / that of the reference windows", "segment")
        psi = gauge("psi", "population stability index of an input, newest window against the reference", "input")
        unknown = gauge("unknown_share", "share of predictions for unknown users, riders or devices")
        change = gauge("calibration_change", "distance of the calibration / that of the reference from 1")
        missing = gauge("missing_labels_share", "share of the usual labels that did not arrive in time")
        age = gauge("feature_age_seconds", "median age of the features of a prediction")
        damaged = gauge("damaged_files", "files of the live log that the drift monitor cannot read")
        for name, root in self._roots.items():
            status = read_status(root)
            if status.model_version:
                damaged.add_metric([name], float(len(status.damaged)))
            if not status.windows:
                continue
            detected.add_metric([name], float(status.is_drifted))
            windows.add_metric([name], float(status.windows))
            updated.add_metric([name], status.updated_at)
            for segment, (value, reference) in status.calibration.items():
                calibration.add_metric([name, segment], value)
                usual.add_metric([name, segment], reference)
            for segment, (value, reference) in status.loss.items():
                loss.add_metric([name, segment], value / reference if reference else 0.0)
            for column, value in status.psi.items():
                psi.add_metric([name, column], value)
            unknown.add_metric([name], status.unknown_share)
            change.add_metric([name], status.calibration_change)
            missing.add_metric([name], status.missing_labels)
            if status.feature_age_s is not None:
                age.add_metric([name], status.feature_age_s)
        yield from (detected, windows, updated, calibration, usual, loss, psi, unknown, change, missing, age, damaged)
