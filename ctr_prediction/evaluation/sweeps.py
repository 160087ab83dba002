"""What there is to find out about the ads: what mistakes cost, by the oracle, and the sweeps of the design's page.

Knows neither wing. The lab hands in a player (who answers as the service would) and a judge (who knows the truth).
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
        "What does it cost to sell by probabilities that are wrong?",
        {"calibrated": ["yes", "no", "no_recalibration"]},
        x="said_over_true",
        y="revenue_against_default",
        requests=600,
    ),
    Sweep(
        "position",
        "What does a model cost that never heard of slots?",
        {"position": ["debiased", "naive"]},
        x="said_over_true",
        y="captured_value",
        requests=600,
    ),
    Sweep("model", "Does the teacher earn its milliseconds?", {"model": ["student", "teacher"]}, requests=600),
    Sweep(
        "eligible", "How many ads must be scored?", {"eligible_limit": [10, 25, 50, 100, 200, 300, 600]}, requests=600
    ),
    Sweep(
        "reserve",
        "What does a higher reserve buy?",
        {"reserve_cpm": [0.0, 2.0, 10.0, 20.0, 40.0, 80.0]},
        x="filled",
        y="revenue_against_default",
        requests=600,
    ),
    Sweep(
        "pricing",
        "What would they pay if each paid its bid, and bid the same?",
        {"pricing": ["second", "first"]},
        x="price",
        y="revenue_against_default",
        requests=600,
    ),
    Sweep(
        "randomised_share",
        "What does it cost to learn from chance?",
        {"randomised_share": [0.0, 0.05, 0.2, 1.0]},
        x="clicks",
        y="revenue_against_default",
        requests=600,
    ),
)


def measure_quality(
    player: Player, judge: Judge, report: Progress, cases: int = CASES, users: int = USERS
) -> list[Figure]:
    """The figures that need the truth, each with its 95% interval over pages. Settings take turns page by page."""
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
        captured("student", "gain in value over a random page, as a share of the oracle's: the student"),
        captured("teacher", "the same of the teacher"),
        captured("history", "the same by click rates so far, without any model"),
        lost("no_calibration", "without the curve of a later day"),
        lost("no_recalibration", "by selling at the sample's probabilities, ten times too high"),
        lost("no_recalibration", "by the same, for advertisers: ads win that are worth less to them", "value"),
        lost("naive_position", "by a model that never heard of slots"),
        lost("naive_position", "by the same, for advertisers", "value"),
        _figure(scores["naive_position"]["said_over_true"], "said_over_true_naive", "its predicted / true clicks"),
        *stale_cache(player, judge, users, report),
        order_among_chance(player, judge, pages[: cases // 2]),
        _figure(scores["student"]["said_over_true"], "said_over_true", "predicted / true clicks on what was shown"),
    ]


def order_among_chance(player: Player, judge: Any, pages: Sequence[Any]) -> Figure:
    """Which of the two models orders bidders by true relevance, where chance decides who bids? In the log a bidder is
    there because the old policy rated it, and what it rated is not what it never showed."""
    gains = []
    for page in pages:
        found = {}
        for position in ("debiased", "naive"):
            knobs = {"randomised_share": 1.0, "pacing": "none", "model": "teacher", "position": position}
            answer = player.play(page, knobs).answer
            truth = judge.relevance(page, answer.bidders, answer.bidders_seen)
            found[position] = np.corrcoef(_ranks(answer.score), _ranks(truth))[0, 1]
        gains.append(found["debiased"] - found["naive"])
    text = "rank correlation with true relevance on a page whose bidders chance has drawn: debiased minus naive"
    return _figure(per_case("", "", "", np.array(gains)), "debias_gain_page", text)


def _ranks(values: Any) -> Any:
    """float64[n]; equal values have their mean rank."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[place]


def stale_cache(player: Player, judge: Any, users: int, report: Progress) -> list[Figure]:
    """A day of those who open most pages, three times: with rows of the store that are up to date, an hour old, and
    never read again. What a row does not know of it does not count: wear-out and caps come too late."""
    figures, days = [], judge.days_of(users)
    revenue = {}
    for number, (name, ttl_s) in enumerate((("fresh", 0.0), ("hour", HOUR_S), ("day", DAY_S))):
        revenue[name] = np.array([_day(player, judge, pages, ttl_s) for pages in days])
        report(0.7 + 0.1 * (number + 1), f"a day of {len(days)} users, rows kept for {ttl_s:.0f} s")
    for name, words in (("hour", "an hour"), ("day", "a day")):
        score = Score("", "", "", revenue["fresh"] - revenue[name], revenue["fresh"])
        text = f"share of revenue lost by rows that are kept for {words}, among those who open most pages"
        figures.append(_figure(score, f"revenue_lost_stale_{name}", text))
    return figures


def _day(player: Player, judge: Any, pages: Sequence[Any], ttl_s: float) -> float:
    """Revenue of one user's pages when their row is read again after `ttl_s`."""
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
