"""Quality figures of the feed by the oracle, and the sweeps of `designs/feed_ranking.md`.

This module imports neither offline nor online code. The lab passes a player, which answers requests like the service,
and a judge, which values the responses by the oracle.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from statistics import median
from typing import Any

from infra.evaluation.experiment import Judge, Play, Player, Score, Sweep
from infra.evaluation.figures import Figure
from infra.progress import Progress

QUIET: Mapping[str, Any] = {"epsilon": 0.0, "ads": 0}
"""Knobs of quality comparisons: exploration and ads are off. Separate figures measure their cost."""
ALL = 5000
CUTS = (25, 50, 100, 200, 500, ALL)
"""values of heavy_top_k that `_smallest_cut` compares"""
CASES = 400

SWEEPS = (
    Sweep(
        "light_against_heavy",
        "How many candidates must the heavy ranker see?",
        {"heavy_top_k": [0, 25, 50, 100, 200, 500, 1500]},
        fixed=QUIET,
    ),
    Sweep(
        "index",
        "How much time does an approximate index save among nine thousand posts, and what does it miss?",
        {"index": ["flat", "ivf", "hnsw"], "interest_limit": [200, 1100]},
        fixed=QUIET,
    ),
    Sweep(
        "objective",
        "What does ranking by clicks alone do to the feed?",
        {"dwell_weight": [1.0, 0.1, 0.03, 0.01, 0.003, 0.0]},
        x="clicks",
        y="value_against_default",
        fixed={**QUIET, "click_weight": 1.0, "like_weight": 0.0, "comment_weight": 0.0},
    ),
    Sweep(
        "creator_cap",
        "What does variety cost?",
        {"creator_cap": [1, 2, 3, 5, 20], "repeat_discount": [0.85, 1.0]},
        x="creators",
        y="value_against_default",
        fixed=QUIET,
    ),
    Sweep(
        "freshness",
        "What does it cost to favour new posts?",
        {"freshness_weight": [0.0, 0.1, 0.3, 1.0, 3.0]},
        x="age_h",
        y="value_against_default",
        fixed=QUIET,
    ),
    Sweep(
        "epsilon",
        "How much value does exploration of new creators cost now?",
        {"epsilon": [0.0, 0.05, 0.1, 0.2, 0.4]},
        x="new_creator_posts",
        y="value_against_default",
        fixed={"ads": 0},
        one_sided=(
            "This sweep shows only what exploration costs now: its gain is that later models know new creators better, "
            "and the sweep values one slate per user with a model that is never trained again."
        ),
    ),
    Sweep(
        "ads",
        "How much value does an ad cost its session?",
        {"ads": [0, 1, 2, 3], "ad_gap": [3, 6]},
        x="ads",
        y="value_against_default",
        fixed={"epsilon": 0.0},
        one_sided=(
            "This sweep shows only what ads cost in attention: no ad of this world pays anything, so the revenue that "
            "ads are shown for is not measured."
        ),
    ),
    Sweep(
        "hydration",
        "Why not read each candidate's features from the feature store?",
        {"hydration": ["snapshot", "feast"]},
        fixed=QUIET,
        requests=40,
        needs_option="naive-hydration",
    ),
)


def measure_quality(player: Player, judge: Judge, report: Progress, cases: int = CASES) -> list[Figure]:
    """The figures that need the oracle, each with a 95% interval over users. Settings are interleaved by user."""
    settings: dict[str, tuple[Mapping[str, Any], tuple[str, ...]]] = {
        "heavy": (QUIET, ()),
        "light": ({**QUIET, "heavy_top_k": 0}, ()),
        "popularity": ({**QUIET, "heavy_top_k": 0}, ("light_ranker",)),
        "explore": ({"ads": 0}, ()),
        "ads": ({"epsilon": 0.0}, ()),
        **{f"cut {k}": ({**QUIET, "heavy_top_k": k}, ()) for k in CUTS},
    }
    users = judge.cases(cases)
    plays: dict[str, list[Play]] = {name: [] for name in settings}
    for number, user in enumerate(users):
        for name, (knobs, without) in settings.items():
            plays[name].append(player.play(user, knobs, without))
        report((number + 1) / len(users), f"{number + 1} of {len(users)} users, {len(settings)} settings each")
    trial: Any = judge.trial(users, plays["heavy"])
    scores = {name: {score.id: score for score in trial.scores(found)} for name, found in plays.items()}
    ladder = {score.id: score for score in trial.ladder()}

    def captured(name: str, of: str) -> Figure:
        return _figure(scores[name]["captured_value"], f"captured_value_{name}", f"{of}: share of the oracle's gain")

    rungs = [
        _figure(ladder["captured_value_random"]),
        captured("popularity", "popularity, without a model"),
        captured("light", "light ranker alone"),
        _figure(
            scores["heavy"]["captured_value"],
            text="full pipeline: gain in value over a random slate, as a share of the oracle's gain",
            must=">= 0.75",
            aim=">= 0.9",
        ),
    ]
    gaps = [upper.low - lower.high for lower, upper in pairwise(rungs)]
    ahead = "smallest distance between the intervals of random, popularity, light and heavy"
    return [
        *reversed(rungs),
        Figure("rungs_apart", ahead, min(gaps), min(gaps), max(gaps), "", ">= 0"),
        _figure(ladder["oracle_value_s"]),
        _figure(ladder["retrieval_loss"], must="<= 0.1", aim="<= 0.05"),
        *(_figure(score) for score in trial.recall(plays["heavy"])),
        *_smallest_cut(scores, plays),
        _figure(
            _cost(scores["heavy"], scores["explore"]), "exploration_cost", "share of value lost now by epsilon = 0.1"
        ),
        _figure(_cost(scores["heavy"], scores["ads"]), "ads_cost", "share of value lost by 2 ads on a slate of 20"),
        _figure(scores["heavy"]["log_value_s"]),
    ]


def _smallest_cut(scores: Mapping[str, Mapping[str, Score]], plays: Mapping[str, list[Play]]) -> list[Figure]:
    """The smallest heavy_top_k that loses at most 1% of value against heavy ranking of all candidates, its loss, and
    the time that it saves."""
    losses = {k: _cost(scores[f"cut {ALL}"], scores[f"cut {k}"]) for k in CUTS}
    k = min(k for k in CUTS if losses[k].value <= 0.01)
    slow, fast = ([play.wall_ms for play in plays[f"cut {count}"]] for count in (ALL, k))
    saved = sorted(1 - b / a for a, b in zip(slow, fast, strict=True))
    quarter = len(saved) // 4
    text = "smallest heavy_top_k that loses at most 1% of value against heavy ranking of all candidates"
    return [
        Figure("heavy_k_at_1pct", text, k, k, k, "posts", "<= 500", "<= 200"),
        _figure(losses[k], "heavy_k_loss", "share of value lost by that heavy_top_k"),
        Figure(
            "heavy_k_saves",
            "share of the request's time saved by that heavy_top_k",
            median(saved),
            saved[quarter],
            saved[-quarter],
            "",
        ),
    ]


def _cost(better: Mapping[str, Score], worse: Mapping[str, Score]) -> Score:
    """The share of the value of `better` that `worse` loses, with one case per user."""
    full, left = better["value_s"].above, worse["value_s"].above
    return Score("cost", "", "", full - left, full)


def _figure(
    score: Score, id: str | None = None, text: str | None = None, must: str | None = None, aim: str | None = None
) -> Figure:
    return Figure(id or score.id, text or score.text, score.value, *score.interval(), score.unit, must, aim)
