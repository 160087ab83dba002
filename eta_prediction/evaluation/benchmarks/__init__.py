"""Benchmarks of ride ETA against references that do the same work, interleaved.

Each figure belongs to one round; the lab takes the median of several rounds. `http` measures the service over HTTP,
`kernels` and `traffic` measure a service of the same release in this process. Requests are held-out trips of the log.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eta_prediction.config import EtaConfig
from eta_prediction.design import DESIGN
from eta_prediction.domain import RIDE_TYPES
from eta_prediction.evaluation.benchmarks.http import SLICE, batch_p99_ms, over_constant
from eta_prediction.evaluation.benchmarks.kernels import ROWS, quantiles_over_boosters, route_over_engine
from eta_prediction.evaluation.benchmarks.service import open_service
from eta_prediction.evaluation.benchmarks.traffic import traffic_updates, update_ms
from eta_prediction.events.paths import LIVE, end_of_log
from eta_prediction.items.road_state import FILE
from eta_prediction.offline.samples import HOLDOUT, TRAIN, Sample
from eta_prediction.offline.train import fit_early_boosters, task_of
from infra.build.fingerprints import step_paths
from infra.evaluation.speed.closed_loop import throughput
from infra.live.clock import SharedClock
from infra.registry.release import Release
from infra.settings import Settings

ZIPF = 1.1
PAIRS = 200
"""pairs of one batch"""


@dataclass(frozen=True)
class Sizes:
    """How much one round measures. The warm-up ends after `warm_up_s` or `warm_up_requests`; `slices` belong to each
    series of requests, and the other fields are numbers of batches and of routes. The warm-up takes as long as a row
    of the cache stays fresh: then as many rows enter the cache as expire."""

    warm_up_s: float = 60.0
    warm_up_requests: int = 60_000
    slices: int = 15
    batches: int = 300
    batches_with_paths: int = 150
    routes: int = 10_000


class EtaBenchmarks:
    """Requires a release, the sample of its build, and a service of that release at `url`."""

    share_of_capacity = 0.5

    def __init__(
        self, release: Path, config: EtaConfig, url: str, settings: Settings, sizes: Sizes | None = None
    ) -> None:
        self._config, self._url, self._sizes = config, url, sizes or Sizes()
        self._release, self._root = Release.read(release), settings.design_root(DESIGN.name)
        self._service = open_service(self._release, config, settings)
        sample = step_paths(DESIGN, settings)["sample"]
        self._trips = Sample.read(sample / HOLDOUT)
        task, _ = task_of(config, Sample.read(sample / TRAIN), "live")
        self._boosters, self._rows = fit_early_boosters(config, task), task.x[:ROWS].copy()
        self._round = 0
        weights = np.arange(1.0, config.world.drivers // 2 + 1) ** -ZIPF
        self._mass = np.cumsum(weights) / weights.sum()

    def question(self, number: int) -> dict[str, Any]:
        """The body of one request. Its driver has an even id and follows Zipf's law, spread over the id space."""
        rank = int(np.searchsorted(self._mass, np.random.default_rng(number).random()))
        return self._body(number, 2 * (rank * 7919 % len(self._mass)))

    @contextmanager
    def background(self) -> Iterator[None]:
        """A new state of the roads every 10 s, while the service is measured."""
        live = self._root / LIVE
        clock = SharedClock(live / "clock.json", max(self._release.world_now, end_of_log(live)))
        try:
            with traffic_updates(self._service.city.state, clock, live / FILE):
                yield
        finally:
            clock.close()

    def round(self) -> Mapping[str, float]:
        """One measurement of every figure, by figure id."""
        self._round += 1
        sizes, trips, service, url = self._sizes, self._trips, self._service, self._url
        rows = np.random.default_rng(self._round).integers(0, len(trips), sizes.routes)
        distances = [self._batch(n, paths=False) for n in range(sizes.batches)]
        with_paths = [self._batch(n, paths=True) for n in range(sizes.batches_with_paths)]
        return {
            **self.over_constant(),
            "batch_p99_ms": batch_p99_ms(url, distances),
            "batch_paths_p99_ms": batch_p99_ms(url, with_paths),
            "route_over_engine": route_over_engine(service, trips.origin[rows], trips.destination[rows]),
            "traffic_update_ms": update_ms(service),
            "quantiles_over_boosters": quantiles_over_boosters(service, self._boosters, self._rows),
        }

    def over_constant(self) -> Mapping[str, float]:
        """Throughput with Zipf-distributed drivers, and with a new driver per request, relative to the constant route.

        The new drivers have odd ids, so only earlier rounds sent requests for them, and their rows have expired during
        the warm-up. Unknown drivers would not do, because the store finds no row in two thirds of the time of a row.
        """
        sizes, first = self._sizes, 10**6 * self._round
        count, warm_up = sizes.slices * SLICE, [self.question(first + n) for n in range(sizes.warm_up_requests)]
        throughput(self._url, DESIGN.ask.path, warm_up, sizes.warm_up_s)
        warm = [self.question(first + sizes.warm_up_requests + n) for n in range(count)]
        cold = [self._body(n, 2 * n + 1) for n in range(min(count, len(self._mass)))]
        return over_constant(self._url, {"warm": warm, "cold": cold})

    def _body(self, number: int, driver: int) -> dict[str, Any]:
        trips, row = self._trips, number % len(self._trips)
        return {
            "origin": {"node": int(trips.origin[row])},
            "destination": {"node": int(trips.destination[row])},
            "ride_type": RIDE_TYPES[trips.ride_type[row]],
            "driver_id": driver,
        }

    def _batch(self, number: int, *, paths: bool) -> dict[str, Any]:
        """Many drivers to one rider: places where trips began, and the destination of another trip."""
        rows = np.random.default_rng((self._round, number)).integers(0, len(self._trips), PAIRS + 1)
        return {
            "origins": [{"node": node} for node in self._trips.origin[rows[1:]].tolist()],
            "destination": {"node": int(self._trips.destination[rows[0]])},
            "paths": paths,
        }
