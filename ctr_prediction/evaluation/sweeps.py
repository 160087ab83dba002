"""Quality figures of the ads by the oracle, such as the cost of miscalibration, and the sweeps of the design's page.

This module imports neither offline nor online code. The lab passes a player, which answers requests like the service,
and a judge, which values the responses by the oracle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from infra.evaluation.experiment import Judge, Play, Player, Score, Sweep, per_case
from infra.evaluation.figures import Figure
from infra.progress import Progress

CASES, USERS = 1000, 200
HOUR_S, DAY_S = 3_600.0, 86_400.0

SWEEPS = (
    Sweep(
        "calibration",
        "What does miscalibration cost?",
        {"calibrated": ["yes", "no", "no_recalibration"]},
        x="predicted_over_true",
        y="revenue_against_default",
        requests=600,
        one_sided=(
            "This sweep shows only that predictions ten times too high raise revenue: advertisers of this world keep "
            "their bids and stay when clicks become worth less to them, so the revenue that such prices lose later is "
            "not measured."
        ),
    ),
    Sweep(
        "position",
        "What does a model without position debiasing cost?",
        {"position": ["debiased", "naive"]},
        x="predicted_over_true",
        y="captured_value",
        requests=600,
    ),
    Sweep("model", "Is the teacher's gain worth its milliseconds?", {"model": ["student", "teacher"]}, requests=600),
    Sweep(
        "eligible", "How many ads must be scored?", {"eligible_limit": [10, 25, 50, 100, 200, 300, 600]}, requests=600
    ),
    Sweep(
        "reserve",
        "How does a higher reserve change revenue?",
        {"reserve_cpm": [0.0, 2.0, 10.0, 20.0, 40.0, 80.0]},
        x="filled",
        y="revenue_against_default",
        requests=600,
        one_sided=(
            "This sweep shows only what a reserve loses: it gains revenue where few ads bid, because it then sets the "
            "price, and in this world hundreds of ads bid for at most four slots, so the next bid sets the price and a "
            "reserve only leaves slots empty."
        ),
    ),
    Sweep(
        "pricing",
        "How much more do winners pay in a first-price auction with unchanged bids?",
        {"pricing": ["second", "first"]},
        x="price",
        y="revenue_against_default",
        requests=600,
    ),
    Sweep(
        "randomised_share",
        "What does randomised traffic cost?",
        {"randomised_share": [0.0, 0.05, 0.2, 1.0]},
        x="clicks",
        y="revenue_against_default",
        requests=600,
        one_sided=(
            "This sweep shows only what random slates cost now: their gain is an unbiased log that later models learn "
            "from and are judged by, and the sweep values one page per user with a model that is never trained again."
        ),
    ),
)


def measure_quality(
    player: Player, judge: Judge, report: Progress, cases: int = CASES, users: int = USERS
) -> list[Figure]:
    """The figures that need the oracle, each with a 95% interval over pages. Settings are interleaved by page."""
    settings: dict[str, tuple[Mapping[str, Any], tuple[str, ...]]] = {
        "student": ({}, ()),
        "teacher": ({"model": "teacher"}, ()),
        "history": ({}, ("student",)),
        "no_calibration": ({"calibrated": "no"}, ()),
        "no_recalibration": ({"calibrated": "no_recalibration"}, ()),
        "naive_position": ({"position": "naive"}, ()),
    }
    pages = judge.cases(cases)
    plays: dict[str, list[Play]] = {name: [] for name in settings}
    for number, page in enumerate(pages):
        for name, (knobs, without) in settings.items():
            plays[name].append(player.play(page, knobs, without))
        report(0.7 * (number + 1) / len(pages), f"{number + 1} of {len(pages)} pages, {len(settings)} settings each")
    trial = judge.trial(pages, plays["student"])
    scores = {name: {score.id: score for score in trial.scores(found)} for name, found in plays.items()}

    def captured(name: str, text: str) -> Figure:
        return _figure(scores[name]["captured_value"], f"captured_value_{name}", text)

    def lost(name: str, text: str, what: str = "revenue") -> Figure:
        full, left = scores["student"][what].above, scores[name][what].above
        return _figure(Score("", "", "", full - left, full), f"{what}_lost_{name}", f"share of {what} lost {text}")

    return [
        captured("student", "student: gain in value over a random page, as a share of the oracle's gain"),
        captured("teacher", "teacher: share of the oracle's gain in value"),
        captured("history", "click rates so far, without a model: share of the oracle's gain in value"),
        lost("no_calibration", "without the calibration curve"),
        lost("no_recalibration", "with the sample's probabilities, ten times too high"),
        lost(
            "no_recalibration", "with the sample's probabilities: ads win that are worth less to advertisers", "value"
        ),
        lost("naive_position", "with a model without position debiasing"),
        lost("naive_position", "with a model without position debiasing", "value"),
        _figure(
            scores["naive_position"]["predicted_over_true"],
            "predicted_over_true_naive",
            "naive model: predicted / true clicks",
        ),
        *stale_cache(player, judge, users, report),
        rank_correlation_gain(player, judge, pages[: cases // 2]),
        _figure(
            scores["student"]["predicted_over_true"], "predicted_over_true", "predicted / true clicks on shown ads"
        ),
    ]


def rank_correlation_gain(player: Player, judge: Any, pages: Sequence[Any]) -> Figure:
    """Gain in rank correlation with true relevance of the debiased model over the naive one, on random bidders. The log
    cannot answer this, because the logging policy selected its bidders. Pages with fewer than two bidders have no order
    and do not count."""
    gains = []
    for page in pages:
        found = {}
        for position in ("debiased", "naive"):
            knobs = {"randomised_share": 1.0, "pacing": "none", "model": "teacher", "position": position}
            answer = player.play(page, knobs).answer
            if len(answer.bidders) < 2:
                break
            truth = judge.relevance(page, answer.bidders, answer.bidders_seen)
            found[position] = np.corrcoef(_ranks(answer.score), _ranks(truth))[0, 1]
        if len(found) == 2:
            gains.append(found["debiased"] - found["naive"])
    text = "rank correlation with true relevance on a page with random bidders: debiased minus naive"
    return _figure(per_case("", "", "", np.array(gains)), "debias_gain_page", text)


def _ranks(values: Any) -> Any:
    """float64[n]: ranks; ties get their mean rank."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[place]


def stale_cache(player: Player, judge: Any, users: int, report: Progress) -> list[Figure]:
    """Revenue lost to stale cache rows. Plays one day of the most active users with fresh rows, with rows cached for an
    hour, and with rows read once. Stale rows miss recent impressions, so wear-out and frequency caps lag."""
    figures, days = [], judge.days_of(users)
    revenue = {}
    for number, (name, ttl_s) in enumerate((("fresh", 0.0), ("hour", HOUR_S), ("day", DAY_S))):
        revenue[name] = np.array([_day(player, judge, pages, ttl_s) for pages in days])
        report(0.7 + 0.1 * (number + 1), f"a day of {len(days)} users, rows kept for {ttl_s:.0f} s")
    for name, words in (("hour", "an hour"), ("day", "a day")):
        score = Score("", "", "", revenue["fresh"] - revenue[name], revenue["fresh"])
        text = f"share of revenue lost with rows cached for {words}, among the most active users"
        figures.append(_figure(score, f"revenue_lost_stale_{name}", text))
    return figures


def _day(player: Player, judge: Any, pages: Sequence[Any], ttl_s: float) -> float:
    """Revenue of one user's pages with a cache lifetime of `ttl_s`."""
    shown: list[int] = []
    known, read_ts, total = 0, float("-inf"), 0.0
    for page in pages:
        if page.at_ts - read_ts > ttl_s:
            known, read_ts = len(shown), page.at_ts
        play = player.play(replace(page, shown=tuple(shown[:known])), {})
        later = shown[known:]
        seen = play.answer.seen + np.array([later.count(ad) for ad in play.answer.ads.tolist()], np.int64)
        total += float(judge.worth([page], [play], [seen]).revenue[0])
        shown += play.answer.ads.tolist()
    return total


def _figure(score: Score, id: str, text: str, must: str | None = None, aim: str | None = None) -> Figure:
    return Figure(id, text, score.value, *score.interval(), score.unit, must, aim)
