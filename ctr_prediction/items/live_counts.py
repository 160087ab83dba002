"""Live counts of ads and campaigns, and the money that campaigns have spent today. The worker writes them; every
service reads them.

Budgets, pacing and click rates thus follow the stream and not the memory of one process. `stats_ts` is the time as of
which the counts are computed, so an evaluation can compute the served counts again.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from ctr_prediction.config import CtrConfig
from ctr_prediction.domain import Array, Floats
from ctr_prediction.events.history import EventLog, PublicCatalogue
from ctr_prediction.features.aggregates import ad_stats_at, campaigns_of, spent_at
from infra.live.live_arrays import read_arrays, write_arrays

FILE = "stats.npz"


@dataclass(frozen=True)
class LiveStats:
    """As of `stats_ts` (world time, s), a row per id: `ad_shown` float32[ads, SLOTS] and `ad_clicks` float32[ads] in
    the feature window, likewise for campaigns; `spent` float64[campaigns] money since midnight, UTC."""

    stats_ts: float
    ad_shown: Floats
    ad_clicks: Floats
    campaign_shown: Floats
    campaign_clicks: Floats
    spent: Array

    def plus(self, other: LiveStats) -> LiveStats:
        """The sum of the counts of two disjoint groups of users."""
        names = [item.name for item in fields(LiveStats)[1:]]
        return LiveStats(self.stats_ts, *(getattr(self, name) + getattr(other, name) for name in names))

    def write(self, path: Path) -> None:
        write_arrays(path, self)

    @classmethod
    def read(cls, path: Path) -> LiveStats:
        """Raises `OSError` or `ValueError` if the file is missing or malformed."""
        return read_arrays(path, cls, [item.name for item in fields(cls)])


def stats_at(log: EventLog, catalogue: PublicCatalogue, config: CtrConfig, at_ts: float) -> LiveStats:
    """Counts of all ads and campaigns as of `at_ts`. The build uses this function."""
    return stats_of(ad_stats_at(log, catalogue, config, at_ts), log, catalogue, at_ts)


def stats_of(of_ads: tuple[Floats, Floats], log: EventLog, catalogue: PublicCatalogue, at_ts: float) -> LiveStats:
    """The same from the counts of `ad_stats_at`, which the worker keeps (`features.running`)."""
    return LiveStats(at_ts, *of_ads, *campaigns_of(of_ads, catalogue), spent_at(log, catalogue, at_ts))
