"""A small design for tests of the drift monitor: requests with ten impressions each, and clicks with known rates."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from infra.evaluation.drift_config import DriftConfig
from infra.registry.release import CURRENT, Release
from infra.settings import Settings
from infra.telemetry.drift.bins import Bins
from infra.telemetry.drift.observed import Array, Labels, Observed, Units
from infra.training.click_metrics import log_loss_rows

PER_REQUEST = 10
MATURE_S = 30.0
SEGMENTS = 8


class FakeSource:
    """The `DriftSource` of a log with columns request_ts, request and x of predictions, and unit and clicked of
    labels. Predicted rates are 0.08 for each segment."""

    predictions = "predictions"
    labels = ("labels",)
    segments = tuple(f"s{number}" for number in range(SEGMENTS))
    unit, ratio, measure = "impressions", "clicks / predicted clicks", "log loss"
    version = "fake-smoke/1"

    def __init__(self, settings: Settings | None = None) -> None:
        self.bins = Bins.of({"x": np.linspace(-2, 2, 1000)})

    def observe(self, tables: Mapping[str, pa.Table]) -> Observed:
        table = tables.get("predictions")
        at, request, x = (
            np.zeros(0) if table is None else table[name].to_numpy() for name in ("request_ts", "request", "x")
        )
        request = request.astype(np.int64)
        ids = (request[:, None] * PER_REQUEST + np.arange(PER_REQUEST)).ravel()
        labels = tables.get("labels")
        return Observed(
            request_ts=at.astype(np.float64),
            age_s=np.full(len(at), 5.0),
            is_unknown=np.zeros(len(at), np.bool_),
            inputs={"x": x},
            units=Units(
                id=ids,
                mature_ts=np.repeat(at + MATURE_S, PER_REQUEST),
                group=np.repeat(request, PER_REQUEST),
                segment=(ids % SEGMENTS)[:, None],
                predicted=np.full((len(ids), 1), 0.08),
                actual=np.full(len(ids), np.nan),
            ),
            labels=Labels(np.zeros(0, np.int64), np.zeros(0))
            if labels is None
            else Labels(labels["unit"].to_numpy(), labels["clicked"].to_numpy().astype(np.float64)),
        )

    def judged(self, units: Units) -> Units:
        return units.take(np.isfinite(units.actual))

    def expected(self, predicted: Array) -> Array:
        return predicted[:, 0]

    def loss(self, predicted: Array, actual: Array) -> Array:
        return log_loss_rows(actual, predicted[:, 0])


def log_of(
    rng: np.random.Generator, first: int, requests: int, from_ts: float, rates: Array, x_mean: float = 0.0
) -> tuple[pa.Table, pa.Table]:
    """(predictions, labels) of `requests` requests in a minute from `from_ts` on. `rates` float64[SEGMENTS] are true
    click rates. Clicks of one request are correlated: each user clicks more or less on everything."""
    request = first + np.arange(requests)
    at = np.sort(from_ts + rng.random(requests) * 60)
    unit = (request[:, None] * PER_REQUEST + np.arange(PER_REQUEST)).ravel()
    mood = np.repeat(rng.gamma(2.0, 0.5, requests), PER_REQUEST)
    clicked = rng.random(len(unit)) < np.clip(rates[unit % SEGMENTS] * mood, 0, 1)
    predictions = pa.table({"request_ts": at, "request": request, "x": rng.normal(x_mean, 1.0, requests)})
    return predictions, pa.table({"unit": unit, "clicked": clicked})


@dataclass(frozen=True)
class FakeConfig:
    drift: DriftConfig


@dataclass(frozen=True)
class FakeDesign:
    """The parts of a `Design` that the drift monitor reads. Windows have 300 predictions."""

    name: str = "fake"
    drift: str = "tests.support.drift_source:FakeSource"
    window_s: float = 3600.0

    def configuration(self, preset: str) -> FakeConfig:
        return FakeConfig(DriftConfig(drift_window=300, drift_window_s=self.window_s))


def release(root: Path, version: int = 1, released_ts: float = 0.0, digest: str = "") -> None:
    """Make version `version` the current release of the design whose directory is `root`."""
    out = root / "steps" / f"release-{version}"
    out.mkdir(parents=True, exist_ok=True)
    paths = {"model_path": "", "index_path": "", "features_path": ""}
    of_model = ("fake-smoke", version, digest or f"digest{version}")
    Release("fake", *of_model, **paths, world_now=0.0, released_ts=released_ts).write(out)
    (root / CURRENT).write_text(json.dumps({"release": str(out)}))


def write_log(root: Path, rng: np.random.Generator, minute: int, rates: Array, requests: int = 300) -> None:
    """Write one file of predictions and one of labels, as the worker's sink does, a few seconds in the past."""
    predictions, labels = log_of(rng, 1000 * minute, requests, 60.0 * minute, rates)
    at_ns = time.time_ns() - int(3e9)
    for folder, table in (("predictions", predictions), ("labels", labels)):
        place = root / "live" / folder / "date=2026-01-05" / "hour=00"
        place.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, place / f"part-epoch-{at_ns:020d}.parquet")
