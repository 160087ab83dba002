"""The market of a service: the snapshot of all ads, with live counts.

User-independent inputs (numbers, vectors and segment weights of every ad) are computed once per set of counts, and a
request gathers rows. `Market.apply` replaces all counts at once. A request takes one *view* and reads everything from
it, so no lock is needed.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ctr_prediction.domain import AdFeatures, Array, Floats, Ints
from ctr_prediction.items.live_counts import LiveStats
from ctr_prediction.items.snapshot import Snapshot
from ctr_prediction.model.ad_inputs import AdSide
from ctr_prediction.model.artifact import Bundle, Model
from ctr_prediction.model.auction import day_passed, pace
from ctr_prediction.model.inputs import ad_numbers
from ctr_prediction.model.split_layer import StudentSide
from ctr_prediction.model.student import Student
from infra.columns import DAY_S

KEPT_PLACES = 20_000
"""maximum number of cached page parts, by segment, publisher, device and hour"""


@dataclass(frozen=True)
class View:
    """The market as of `stats_ts`. `debiased` and `undebiased` are the ad inputs for the two models; `student` holds
    the split first layer of the debiased model's student, if available. `eligible` int64[any] for each segment: the
    ads that target it and have started, best first by bid × click rate so far. `pace` float64[campaigns]: the
    probability that each campaign bids; `is_free`: whether all are 1. `is_spent` bool[campaigns]: budget exhausted."""

    stats_ts: float
    debiased: AdSide
    undebiased: AdSide
    student: StudentSide | None
    eligible: Sequence[Ints]
    pace: Array
    is_free: bool
    is_spent: np.ndarray[tuple[int], np.dtype[np.bool_]]

    def side(self, position: str) -> AdSide:
        """The ad inputs for the model that the knob `position` selects."""
        return self.undebiased if position == "naive" else self.debiased


class Market:
    """All ads that can be shown, by id."""

    def __init__(self, snapshot: Snapshot, bundle: Bundle) -> None:
        self.snapshot, self._bundle, self.priors = snapshot, bundle, bundle.debiased.priors
        self.bid: Array = snapshot.bid[snapshot.campaign]
        """float64[ads]: the bid per click of each ad's campaign"""
        self._lock = threading.Lock()
        ads, campaign, creative = np.arange(len(snapshot.campaign)), snapshot.campaign, snapshot.creative
        debiased, undebiased = (
            AdSide.of(model, ads, campaign, creative, self._numbers(model, snapshot.stats))
            for model in (bundle.debiased, bundle.undebiased)
        )
        student = None
        if isinstance(bundle.student, Student):
            student = StudentSide.of(bundle.student, bundle.debiased, debiased)
            self.of_place = lru_cache(KEPT_PLACES)(student.of_place)
        self.view = self._view(debiased, undebiased, student, snapshot.stats)

    def apply(self, stats: LiveStats) -> bool:
        """Replace all counts. Returns False if `stats` is not newer or covers other ads."""
        with self._lock:
            view, bundle = self.view, self._bundle
            if stats.stats_ts <= view.stats_ts or len(stats.ad_clicks) != len(self.snapshot.campaign):
                return False
            debiased = view.debiased.counted(self._numbers(bundle.debiased, stats))
            undebiased = view.undebiased.counted(self._numbers(bundle.undebiased, stats))
            student = view.student and view.student.counted(debiased)
            self.view = self._view(debiased, undebiased, student, stats)
            return True

    def _numbers(self, model: Model, stats: LiveStats) -> Floats:
        campaign = self.snapshot.campaign
        known = AdFeatures(
            campaign,
            self.snapshot.creative,
            stats.ad_shown,
            stats.ad_clicks,
            stats.campaign_shown[campaign],
            stats.campaign_clicks[campaign],
        )
        return ad_numbers(known, model.priors)

    def _view(self, debiased: AdSide, undebiased: AdSide, student: StudentSide | None, stats: LiveStats) -> View:
        snapshot = self.snapshot
        worth = np.log(self.bid) + debiased.numbers[:, 0]
        order = np.argsort(-worth, kind="stable")
        order = order[snapshot.start_ts[order] <= stats.stats_ts]
        pays = snapshot.targets[snapshot.campaign[order]]
        shares = pace(stats.spent, snapshot.budget, day_passed(snapshot.hourly, stats.stats_ts % DAY_S))
        return View(
            stats.stats_ts,
            debiased,
            undebiased,
            student,
            [order[pays[:, segment]] for segment in range(pays.shape[1])],
            shares,
            bool((shares >= 1).all()),
            stats.spent >= snapshot.budget,
        )
