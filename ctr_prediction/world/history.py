"""The generated log: ads that the logging policy shows, their prices, clicks, and the report times of clicks.

The generator proceeds hour by hour, because budgets run out. Each day depends on its own random streams and on the
state at the end of the previous day (`State`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ctr_prediction.domain import LOGGING_POLICY, NONE, RANDOM_POLICY, Array, Ints
from ctr_prediction.world.clicks import draw_delay_s
from ctr_prediction.world.exposures import Exposures
from ctr_prediction.world.oracle import Context, Oracle
from ctr_prediction.world.policy import Drawn, Eligible, Standing, auction, draw_pool
from ctr_prediction.world.requests import Requests, draw_requests
from ctr_prediction.world.truth import World
from infra.columns import DAY_S, HOUR_S, seconds
from infra.simulation.days import log_table
from infra.simulation.streams import start_ts, stream

KEPT = 0.9
"""decay factor per day of the counts in the logging policy's click rates"""
Rows = Mapping[str, npt.NDArray[np.generic]]


@dataclass
class State:
    """The state at the end of a day: the logging policy's counts of ads, the exposures, and the clicks that are not
    reported yet (ads int64 and times float64)."""

    standing: Standing
    exposures: Exposures
    late_ads: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    late_ts: Array = field(default_factory=lambda: np.zeros(0))

    @classmethod
    def none(cls, world: World) -> State:
        nothing = np.zeros(world.config.ads)
        return cls(Standing(nothing, nothing), Exposures(world.config.ads))


def log_day(world: World, day: int, state: State, eligible: Eligible) -> pa.Table:
    """All impressions of one day, one row per ad; advances `state` to the next day."""
    config = world.config
    begin_ts = start_ts(config, day)
    requests = draw_requests(world, day)
    ads_there = int(np.searchsorted(world.ads.start_ts, begin_ts, side="right"))
    spent = np.zeros(config.campaigns)
    hours = np.searchsorted(requests.at_ts, begin_ts + np.arange(25) * HOUR_S)
    parts: list[Rows] = []
    for hour in range(24):
        some = requests.between(hours[hour], hours[hour + 1])
        if len(some):
            rng = stream(config.seed, "history", day, hour)
            parts.append(_show(world, rng, some, state, eligible, ads_there, spent))
    rows = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    first = day * 100_000_000
    rows["impression_id"] = first + np.arange(len(rows["ad_id"]))
    _advance(world, state, rows, begin_ts + DAY_S)
    return log_table(rows, LOGGING_POLICY, RANDOM_POLICY)


def pass_day(world: World, day: int, state: State, table: pa.Table) -> None:
    """Advance `state` over a day that is already logged."""
    rows = {name: table[name].to_numpy() for name in ("user_id", "ad_id", "clicked")}
    rows["label_ts"] = seconds(table["label_ts"].to_numpy())
    state.exposures.show(rows["user_id"], rows["ad_id"])
    _advance(world, state, rows, start_ts(world.config, day + 1))


def _show(
    world: World,
    rng: np.random.Generator,
    requests: Requests,
    state: State,
    eligible: Eligible,
    ads_there: int,
    spent: Array,
) -> Rows:
    """Simulate one hour: fill the pages, draw the clicks, charge the campaigns (adds to `spent`)."""
    config, people = world.config, world.people
    is_random = rng.random(len(requests)) < config.randomised_share
    pool = draw_pool(world, rng, requests.user, eligible, ads_there)
    drawn = auction(world, rng, pool, state.standing, spent >= world.campaigns.budget, is_random)
    shown, slot = _on_the_page(world, requests, drawn)
    user, ad = requests.user[shown], drawn.ads[shown, slot]
    seen = state.exposures.show(user, ad)
    context = Context(requests.publisher[shown], requests.device[shown], requests.at_ts[shown], seen)
    clicked = rng.random(len(ad)) < Oracle(world).p_click(user, ad, context, slot)
    label_ts = np.full(len(ad), np.nan)
    label_ts[clicked] = requests.at_ts[shown][clicked] + draw_delay_s(config, rng, int(clicked.sum()))
    price, campaign = drawn.price[shown, slot], world.ads.campaign[ad]
    spent += np.bincount(campaign, clicked * price, config.campaigns)
    return {
        "request_ts": requests.at_ts[shown],
        "user_id": user,
        "segment": people.segment[user],
        "publisher_id": requests.publisher[shown],
        "device": requests.device[shown],
        "slot": slot,
        "slots": world.publishers.slots[requests.publisher[shown]],
        "ad_id": ad,
        "campaign_id": campaign,
        "creative_id": world.ads.creative[ad],
        "seen": seen,
        "bid": world.campaigns.bid[campaign],
        "price": price,
        "is_random": is_random[shown],
        "propensity": drawn.propensity[shown, slot],
        "clicked": clicked,
        "label_ts": label_ts,
    }


def _on_the_page(world: World, requests: Requests, drawn: Drawn) -> tuple[Ints, Ints]:
    """(request, slot) of every shown ad, in order."""
    slot = np.arange(drawn.ads.shape[1])
    is_there = (drawn.ads != NONE) & (slot < world.publishers.slots[requests.publisher][:, None])
    shown, place = np.nonzero(is_there)
    return shown, place


def _advance(world: World, state: State, rows: Rows, end_ts: float) -> None:
    """Update the counts as of `end_ts`: all impressions, and the clicks that are reported by then."""
    ads, count = np.asarray(rows["ad_id"], np.int64), world.config.ads
    clicked = np.asarray(rows["clicked"], bool)
    all_ads = np.concatenate([state.late_ads, ads[clicked]])
    all_ts = np.concatenate([state.late_ts, np.asarray(rows["label_ts"], np.float64)[clicked]])
    is_known = all_ts < end_ts
    state.standing = Standing(
        state.standing.impressions * KEPT + np.bincount(ads, minlength=count),
        state.standing.clicks * KEPT + np.bincount(all_ads[is_known], minlength=count),
    )
    state.late_ads, state.late_ts = all_ads[~is_known], all_ts[~is_known]
    state.exposures.end_day()
