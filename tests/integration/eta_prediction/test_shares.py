"""The world gives a model something to learn from every mechanism, above all from traffic (ADR 0016)."""

from __future__ import annotations

from eta_prediction.config import SMALL
from eta_prediction.evaluation.studies.shares import measure_shares


def test_traffic_is_the_largest_part_of_what_can_be_known() -> None:
    found = measure_shares(SMALL.world, 2, 1_000)
    assert found.share("traffic") >= 0.35
    assert found.share("turns") <= 0.5
    assert found.share("places") <= 0.35
    assert all(found.lost_min[kind] > 0 for kind in ("traffic", "turns", "places", "driver"))
