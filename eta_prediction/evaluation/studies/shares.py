"""What each kind of knowledge is worth: the growth of the oracle's error if a server has all but one.

Run it with `.venv/bin/python -m eta_prediction.evaluation.studies.shares`. ADR 0016 quotes the shares, and a test holds
their bounds: a model must have something to learn from each mechanism, above all from traffic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from eta_prediction.config import SMALL, WorldConfig
from eta_prediction.world.law.laws import KNOWLEDGE, Knowledge, laws_of_day
from eta_prediction.world.replayed import replay_days
from eta_prediction.world.truth import make_world
from infra.routing.choose import find_order, open_engine
from infra.simulation.streams import stream


@dataclass(frozen=True)
class Shares:
    """`oracle_min` is the mean absolute error of the law's median, in minutes; `lost_min` is what it grows by."""

    oracle_min: float
    lost_min: Mapping[Knowledge, float]

    def share(self, knowledge: Knowledge) -> float:
        return self.lost_min[knowledge] / sum(self.lost_min.values())


def measure_shares(config: WorldConfig, day: int, trips: int) -> Shares:
    """Measure on `trips` random trips of one day."""
    world = make_world(config)
    engine = open_engine(world.graph.topology, find_order(world.graph.topology), world.graph.free_s)
    replayed = next(replay_days(world, engine, range(day, day + 1)))
    true_s = replayed.found.time_s
    rows = np.sort(stream(config.seed, "shares", day).choice(len(true_s), min(trips, len(true_s)), replace=False))

    def error_min(withheld: Knowledge | None = None) -> float:
        law = laws_of_day(world, replayed, rows, withheld=withheld)
        return float(np.abs(np.median(law, axis=1) - true_s[rows]).mean() / 60)

    full = error_min()
    return Shares(full, {kind: error_min(kind) - full for kind in KNOWLEDGE})


def main() -> None:
    for day in (2, 9, 16):
        found = measure_shares(SMALL.world, day, 3_000)
        parts = ", ".join(f"{kind} {lost:.3f} min ({found.share(kind):.0%})" for kind, lost in found.lost_min.items())
        print(f"day {day}: oracle {found.oracle_min:.2f} min; {parts}")


if __name__ == "__main__":
    main()
