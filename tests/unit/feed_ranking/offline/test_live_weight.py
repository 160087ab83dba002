"""A live impression counts more in the training of the feed, and an impression of the history as before."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np

from feed_ranking.config import SMOKE
from feed_ranking.offline.samples import Sample
from feed_ranking.offline.train import with_live_weight
from infra.simulation.streams import end_ts

END = end_ts(SMOKE.world)


def test_a_live_impression_counts_as_often_as_the_knob_says() -> None:
    rows: dict[str, Any] = {item.name: np.zeros(4) for item in fields(Sample)}
    times, weight = np.array([END - 10, END - 1, END, END + 5]), np.array([1.0, 2.5, 1.0, 2.5], np.float32)
    sample = Sample(**rows | {"request_ts": times, "weight": weight})
    heavy = replace(SMOKE, sample=replace(SMOKE.sample, live_weight=4.0))
    assert with_live_weight(heavy, sample).weight.tolist() == [1.0, 2.5, 4.0, 10.0]
    assert with_live_weight(SMOKE, sample).weight.tobytes() == weight.tobytes()
