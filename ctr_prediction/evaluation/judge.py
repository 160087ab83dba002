"""The value of auctions by the oracle, for `lab evaluate`, sweeps and drills.

The pages are those of the day after the history, which no feature and no training data includes. Revenue is the true
expected number of clicks times the price of each. Value is the true expected number of clicks times the value of a
click to the advertiser, which a second-price auction maximises.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ctr_prediction.config import CtrConfig
from ctr_prediction.domain import DEVICES, NONE, Array, Ints
from ctr_prediction.world.examination import examination
from ctr_prediction.world.oracle import Context, Oracle
from ctr_prediction.world.policy import Eligible
from ctr_prediction.world.requests import draw_requests
from ctr_prediction.world.shift import shifted
from ctr_prediction.world.truth import make_world
from infra.evaluation.experiment import Play, Score, per_case
from infra.simulation.streams import start_ts


@dataclass(frozen=True)
class Page:
    """A page request; `shown` are the ads that the service has shown to the user since the end of the history."""

    number: int
    user_id: int
    publisher_id: int
    device: int
    slots: int
    at_ts: float
    shown: tuple[int, ...] = ()


@dataclass(frozen=True)
class Worth:
    """Per auction, float64[n]: `revenue`, `value` and expected `clicks`; `predicted` clicks are the
    model's."""

    revenue: Array
    value: Array
    clicks: Array
    predicted: Array


class Judge:
    """Values auctions by the oracle of one world."""

    def __init__(self, config: CtrConfig) -> None:
        self.config = config
        self.day = config.world.days
        self.world = make_world(replace(config.world, days=self.day + 1))
        self.oracle = Oracle(self.world)
        self._eligible = Eligible.of(self.world)
        self._ads_there = int(np.searchsorted(self.world.ads.start_ts, start_ts(config.world, self.day)))
        """number of ads in the history; no snapshot includes the ads of the day after"""

    def in_shifted_world(self, size: float) -> Judge:
        """A judge of the same pages in the world after a shift of `size` (`world.shift`)."""
        found = copy(self)
        found.oracle = Oracle(shifted(self.world, size))
        return found

    def cases(self, count: int) -> Sequence[Page]:
        """The next pages after the history, each of a different user."""
        return self._pages(count, once=True)

    def days_of(self, users: int) -> Sequence[Sequence[Page]]:
        """All pages of the next day of the most active users, ordered by time."""
        pages = self._pages(10**9, once=False)
        of: dict[int, list[Page]] = {}
        for page in pages:
            of.setdefault(page.user_id, []).append(page)
        return sorted(of.values(), key=len, reverse=True)[:users]

    def _pages(self, count: int, *, once: bool) -> list[Page]:
        requests = draw_requests(self.world, self.day)
        slots = self.world.publishers.slots[requests.publisher]
        rows = np.sort(np.unique(requests.user, return_index=True)[1]) if once else np.arange(len(requests))
        return [
            Page(
                row,
                int(requests.user[row]),
                int(requests.publisher[row]),
                int(requests.device[row]),
                int(slots[row]),
                float(requests.at_ts[row]),
            )
            for row in rows[:count].tolist()
        ]

    def question(self, case: Any) -> dict[str, Any]:
        """The body of a request over HTTP."""
        context = {"publisher_id": case.publisher_id, "device": DEVICES[case.device]}
        return {"user_id": case.user_id, "context": context, "slots": case.slots, "seed": case.number}

    def relevance(self, page: Page, ads: Ints, seen: Ints) -> Array:
        """float64[k]: true p(click | examined) of `ads`, for a user with `seen` earlier impressions of each."""
        context = Context(np.array(page.publisher_id), np.array(page.device), np.array(page.at_ts), seen)
        return self.oracle.relevance(np.array(page.user_id), ads, context)

    def p_click(self, page: Page, ads: Ints, seen: Ints) -> Array:
        """float64[k]: true p(click) of `ads` from the top of a page, for a user with `seen` earlier impressions of
        each."""
        context = Context(np.array(page.publisher_id), np.array(page.device), np.array(page.at_ts), seen)
        return self.oracle.p_click(np.array(page.user_id), ads, context, np.arange(len(ads)))

    def worth(self, pages: Sequence[Page], plays: Sequence[Play], seen: Sequence[Ints] | None = None) -> Worth:
        """The true values of n responses. `seen` int64[k] each: the true number of earlier impressions of each ad; by
        default the numbers in the features, which are exact at the end of the history."""
        rows = []
        for at, (page, play) in enumerate(zip(pages, plays, strict=True)):
            answer = play.answer
            p = self.p_click(page, answer.ads, answer.seen if seen is None else seen[at])
            rows.append((p @ answer.price, p @ answer.bid, p.sum(), answer.p_click.sum()))
        return Worth(*np.array(rows, np.float64).T)

    def pool(self, page: Page) -> Ints:
        """All ads that target this user."""
        row = self._eligible.ads[self.world.people.segment[page.user_id]]
        mine = self.world.retargeting.ads[page.user_id]
        found = np.unique(np.concatenate([row, mine]))
        return found[(found != NONE) & (found < self._ads_there)]

    def best_and_random(self, page: Page) -> tuple[float, float]:
        """Value of the oracle's page among all ads that target this user, and of a random page. Both assume no earlier
        impressions, because their numbers are unknown here."""
        pool = self.pool(page)
        context = Context(np.array(page.publisher_id), np.array(page.device), np.array(page.at_ts), np.array(0))
        relevance = self.oracle.relevance(np.array(page.user_id), pool, context)
        worth = self.world.campaigns.bid[self.world.ads.campaign[pool]] * relevance
        examined = examination(self.config.world, np.arange(page.slots))
        best = np.sort(worth)[::-1][: page.slots]
        return float(best @ examined[: len(best)]), float(worth.mean() * examined.sum())

    def captured_by(self, cases: Sequence[Any], answers: Sequence[Mapping[str, Any]]) -> Score:
        """The value of HTTP responses: the gain in value over a random page, as a share of the gain of the oracle's
        page."""
        value = []
        for page, answer in zip(cases, answers, strict=True):
            ads, seen = (np.array([won[name] for won in answer["slate"]], np.int64) for name in ("ad_id", "seen"))
            value.append(float(self.p_click(page, ads, seen) @ self.world.campaigns.bid[self.world.ads.campaign[ads]]))
        best, random = np.array([self.best_and_random(page) for page in cases]).T
        text = "gain in value over a random page, as a share of the oracle's gain"
        return Score("captured_value", text, "", np.array(value) - random, best - random)

    def trial(self, cases: Sequence[Any], baseline: Sequence[Play]) -> CtrTrial:
        best, random = np.array([self.best_and_random(page) for page in cases]).T
        return CtrTrial(self, cases, best, random, self.worth(cases, baseline))


@dataclass(frozen=True)
class CtrTrial:
    """A comparison on n pages. `best` and `random` float64[n] are the values of the oracle's page and of a random
    page."""

    judge: Judge
    cases: Sequence[Page]
    best: Array
    random: Array
    default: Worth

    def scores(self, plays: Sequence[Play]) -> list[Score]:
        worth, default = self.judge.worth(self.cases, plays), self.default
        against = 100 * (worth.revenue - default.revenue)
        slots = np.array([page.slots for page in self.cases], np.float64)
        filled = np.array([len(play.answer.ads) for play in plays], np.float64)
        return [
            Score(
                "captured_value",
                "gain in value over a random page, as a share of the oracle's",
                "",
                worth.value - self.random,
                self.best - self.random,
            ),
            per_case("revenue", "expected revenue of a page", "money", worth.revenue),
            Score(
                "revenue_against_default", "change in revenue relative to the defaults", "%", against, default.revenue
            ),
            per_case("value", "expected value to advertisers of a page's clicks", "money", worth.value),
            per_case("clicks", "expected clicks on a page", "", worth.clicks),
            Score("price", "paid for a click", "money", worth.revenue, worth.clicks, more_is_better=False),
            Score(
                "predicted_over_true",
                "predicted / true clicks on what was shown",
                "",
                worth.predicted,
                worth.clicks,
                target=1.0,
            ),
            Score("filled", "share of slots that were sold", "", filled, slots),
        ]
