"""The simulated visitors of `lab live`: users of the generated world that open pages whose slots the running service
sells.

They react to shown ads by the same mechanisms as in the generated history. Some clicks are reported hours later: a run
of a few minutes, or a model trained right after it, misses most of those. Only the lab uses this module, through
`Design.people`. Serving and training must not import it.
"""

from __future__ import annotations

import heapq
import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ctr_prediction.config import CtrConfig, WorldConfig
from ctr_prediction.domain import DEVICES
from ctr_prediction.world.clicks import draw_delay_s
from ctr_prediction.world.oracle import Context, Oracle
from ctr_prediction.world.requests import draw_visitor
from ctr_prediction.world.shift import shifted
from ctr_prediction.world.truth import make_world
from infra.evaluation.population import Events, Measure, Sums
from infra.simulation.streams import stream

RANDOMISED_SHARE = 0.05
AT_ONCE_S = 1.0
"""a click with a shorter delay is sent together with its impression"""
LATE_S = 600.0

MEASURES = (
    Measure("clicks", "clicks per auction, including clicks that are reported late"),
    Measure("revenue", "revenue per auction", "money"),
    Measure("price", "price paid per click", "money"),
    Measure("calibration", "clicks per click that the model predicts"),
    Measure("late_clicks", f"share of clicks that are reported more than {LATE_S / 60:.0f} minutes later"),
    Measure("filled", "share of slots that were sold"),
)


class Visitors:
    """The population of one world: the users and pages of its history."""

    measures = MEASURES
    events_path = "/v1/events"
    publish_path = "/v1/events"
    publish_field = "clicks"
    until_ts = float("inf")

    def __init__(self, config: CtrConfig, seed: int) -> None:
        self._original, self.seed = make_world(config.world), seed
        self.oracle = Oracle(self._original)
        self._late: list[tuple[float, int, Mapping[str, Any]]] = []
        self._lock, self._number = threading.Lock(), 0

    def gaps_s(self, rate_per_s: float) -> Iterator[float]:
        """Exponential gaps between pages, so pages are opened independently."""
        rng = stream(self.seed, "arrivals")
        while True:
            yield float(rng.exponential(1 / rate_per_s))

    def shift(self, size: float) -> None:
        """Move the click rates of some segments (`world.shift`), or restore them with a size of 0. Later visits follow
        the new rates."""
        self.oracle = Oracle(shifted(self._original, size))

    def visit(self, number: int) -> PageVisit:
        return PageVisit(self.oracle, stream(self.seed, "visits", number), self._later)

    def publications(self, from_ts: float, to_ts: float) -> Sequence[Mapping[str, Any]]:
        """Reports of clicks that are due by `to_ts`, each once. They include clicks due before `from_ts` whose visit
        reacted late."""
        due = []
        with self._lock:
            while self._late and self._late[0][0] < to_ts:
                due.append(heapq.heappop(self._late)[2])
        return due

    def _later(self, at_ts: float, click: Mapping[str, Any]) -> None:
        with self._lock:
            self._number += 1
            heapq.heappush(self._late, (at_ts, self._number, click))


class PageVisit:
    """One page: the request, and the reactions to its ads."""

    def __init__(
        self, oracle: Oracle, rng: np.random.Generator, later: Callable[[float, Mapping[str, Any]], None]
    ) -> None:
        self._oracle, self._rng, self._later = oracle, rng, later
        self.user, self._publisher, self._device = draw_visitor(oracle.world, rng)
        self._slots = int(oracle.world.publishers.slots[self._publisher])
        self._is_over = False
        self._observed, self._expected = ({item.id: (0.0, 0.0) for item in MEASURES} for _ in range(2))

    @property
    def observed(self) -> Sums:
        return self._observed

    @property
    def expected(self) -> Sums:
        return self._expected

    def question(self) -> Mapping[str, Any] | None:
        if self._is_over:
            return None
        self._is_over = True
        return {
            "user_id": self.user,
            "context": {"publisher_id": self._publisher, "device": DEVICES[self._device]},
            "slots": self._slots,
            "knobs": {"randomised_share": RANDOMISED_SHARE},
        }

    def react(self, answer: Mapping[str, Any]) -> Events:
        """Draw the reactions to a response. The numbers of earlier impressions come from the response: counting them
        here would make the clicks of one visit depend on other visits.

        Raises `KeyError` or `TypeError` if the response is malformed."""
        slate, at_ts = answer["slate"], float(answer["request_ts"])
        ads, slots, seen = (np.array([won[name] for won in slate], np.int64) for name in ("ad_id", "slot", "seen"))
        context = Context(np.array(self._publisher), np.array(self._device), np.array(at_ts), seen)
        p = self._oracle.p_click(np.array(self.user), ads, context, slots)
        clicked = self._rng.random(len(p)) < p
        delay_s = draw_delay_s(self._oracle.world.config, self._rng, len(p))
        price = np.array([won["price"] for won in slate], np.float64)
        predicted = float(sum(won["p_click"] for won in slate))
        late, likely = clicked * (delay_s > LATE_S), p * p_late(self._oracle.world.config)
        for sums, clicks, slow in ((self._observed, clicked, late), (self._expected, p, likely)):
            revenue, count = float(clicks @ price), float(clicks.sum())
            sums |= {
                "clicks": (count, 1.0),
                "revenue": (revenue, 1.0),
                "price": (revenue, count),
                "calibration": (count, predicted),
                "late_clicks": (float(slow.sum()), count),
                "filled": (float(len(slate)), float(self._slots)),
            }
        impressions = [self._impression(answer, won) for won in slate]
        prompt = []
        for place in np.flatnonzero(clicked).tolist():
            names = ("auction_id", "slot", "user_id", "ad_id", "price", "request_ts")
            click = {name: impressions[place][name] for name in names}
            if delay_s[place] <= AT_ONCE_S:
                prompt.append(click)
            else:
                self._later(at_ts + float(delay_s[place]), click)
        return {"impressions": impressions, "clicks": prompt} if impressions else {}

    def _impression(self, answer: Mapping[str, Any], won: Mapping[str, Any]) -> dict[str, Any]:
        given = ("slot", "ad_id", "campaign_id", "seen", "bid", "price", "p_click", "propensity")
        return {
            "auction_id": answer["auction_id"],
            "user_id": self.user,
            "publisher_id": self._publisher,
            "device": self._device,
            "policy": answer["policy"],
            "request_ts": answer["request_ts"],
            **{name: won[name] for name in given},
        }


def p_late(config: WorldConfig) -> float:
    """P(the report of a click is delayed by more than `LATE_S`)."""
    slow, fast = (math.exp(-LATE_S / mean_s) for mean_s in (config.slow_delay_s, config.fast_delay_s))
    return config.slow_share * slow + (1 - config.slow_share) * fast
