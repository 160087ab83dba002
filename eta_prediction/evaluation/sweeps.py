"""Quality figures of ride ETA by the oracle, such as what a lost traffic feed costs, and the sweeps of its page.

This module imports neither offline nor online code. The lab passes a player, which answers requests like the service,
and a judge, which values the responses by the oracle.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.evaluation.experiment import Judge, Play, Player, Score, Sweep
from infra.evaluation.figures import Figure
from infra.progress import Progress

CASES = 1500
RIDES = 1200
UNSEEN: Mapping[str, Any] = {"fewest_probes": 100_000.0}
"""request knobs with which no traffic counts as observed, as if the feed were down"""

SWEEPS = (
    Sweep(
        "live_horizon",
        "How far ahead do the speeds of now help?",
        {"live_horizon_min": [0.0, 15.0, 60.0], "speed_forecast": ["latest", "ridge"]},
        x="mae_min",
        y="mae_long_min",
        fixed={"model": "corrected_route"},
        requests=RIDES,
    ),
    Sweep(
        "probe_smoothing",
        "Most roads have no vehicle on them. Whose traffic describes them?",
        {"probe_smoothing": ["edge", "group", "neighbour"]},
        x="mae_min",
        y="captured_value",
        fixed={"model": "corrected_route"},
        requests=RIDES,
    ),
    Sweep(
        "label_delay",
        "What does a model learn from the trips that have already arrived?",
        {"label_cut": ["all", "arrived"]},
        x="bias_min",
        y="mae_min",
        requests=RIDES,
    ),
    Sweep(
        "loss",
        "Which time does each loss predict, the mean or the median?",
        {"loss": ["absolute", "squared", "asymmetric_huber"]},
        x="bias_min",
        y="mae_min",
        fixed={"model": "network"},
        requests=RIDES,
    ),
    Sweep(
        "turns",
        "What does a model gain that sees the turns of a route?",
        {"turn_inputs": ["yes", "no"]},
        x="mae_min",
        y="captured_value",
        requests=RIDES,
    ),
    Sweep(
        "calibration_days",
        "From how many days should intervals be calibrated?",
        {"calibration": ["none", "last_4", "last_17", "all_days"], "model": ["network", "boosters"]},
        x="coverage",
        y="interval_loss_min",
        requests=RIDES,
        one_sided=(
            "This sweep measures one day of a world whose days do not drift, so it cannot show the gain of few days: "
            "their intervals follow a change. The boosters are calibrated from the last days alone, so all their "
            "settings except none are equal."
        ),
    ),
    Sweep(
        "feed_down",
        "Which model should answer while the traffic feed is down?",
        {"without_traffic": ["own_model", "same_model"]},
        x="coverage",
        y="interval_loss_min",
        fixed=UNSEEN,
        requests=RIDES,
    ),
    Sweep(
        "per_type",
        "What does one correction for all types of ride cost pooled rides?",
        {"per_type": ["yes", "no"]},
        x="bias_pooled_min",
        y="mae_min",
        requests=RIDES,
    ),
    Sweep(
        "exploration",
        "What do random quotes cost?",
        {"explore_share": [0.0, 0.1, 0.3, 1.0]},
        x="cancelled",
        y="late",
        requests=RIDES,
        one_sided=(
            "This sweep shows only what random quotes cost now: their gain is a log that also contains quotes that the "
            "policy would never give, from which the reaction of riders can be learned."
        ),
    ),
    Sweep(
        "quote_quantile",
        "Which quantile should riders see?",
        {"quote_quantile": [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]},
        x="late",
        y="cancelled",
        requests=RIDES,
    ),
    Sweep(
        "routes",
        "How much time do routes save that avoid the jams of today?",
        {"found_with": ["live", "profile", "distance"]},
        x="mae_min",
        y="ride_min",
        requests=RIDES,
    ),
)


def measure_quality(player: Player, judge: Judge, report: Progress, cases: int = CASES) -> list[Figure]:
    """The figures that need the oracle, each with a 95% interval over rides. Settings are interleaved by ride."""
    settings: dict[str, tuple[Mapping[str, Any], tuple[str, ...]]] = {
        "served": ({}, ()),
        "network": ({"model": "network"}, ()),
        "boosters": ({"model": "boosters"}, ()),
        "corrected": ({"model": "corrected_route"}, ()),
        "feed_down": ({}, ("traffic",)),
        "feed_down_same": ({"without_traffic": "same_model"}, ("traffic",)),
        "no_driver": ({}, ("feature_store",)),
        "engine_down": ({}, ("routing",)),
        "usual_routes": ({"found_with": "profile"}, ()),
        "p70": ({"quote_quantile": 0.7}, ()),
    }
    rides = judge.cases(cases)
    plays: dict[str, list[Play]] = {name: [] for name in settings}
    for number, ride in enumerate(rides):
        for name, (knobs, without) in settings.items():
            plays[name].append(player.play(ride, knobs, without))
        report(0.6 * (number + 1) / len(rides), f"{number + 1} of {len(rides)} rides, {len(settings)} settings each")
    trial = judge.trial(rides, plays["served"])
    scores: dict[str, Mapping[str, Score]] = {}
    for number, (name, found) in enumerate(plays.items()):
        scores[name] = {score.id: score for score in trial.scores(found)}
        report(0.6 + 0.4 * (number + 1) / len(plays), f"true laws of the routes, setting {name}")

    def of(setting: str, score: str, id: str, text: str) -> Figure:
        return figure_of(scores[setting][score], id, text)

    def added(setting: str, score: str, id: str, text: str) -> Figure:
        """How much more of `score` a setting has than the served one, as a share."""
        mine, served = scores[setting][score], scores["served"][score]
        return figure_of(Score("", "", "", mine.above - served.above, served.above), id, text)

    return [
        of(
            "served",
            "captured_value",
            "captured_value",
            "served quotes: share of the oracle's gain over a straight line",
        ),
        of("network", "captured_value", "captured_value_network", "the network: share of the oracle's gain"),
        of("boosters", "captured_value", "captured_value_boosters", "the boosters: share of the oracle's gain"),
        of(
            "corrected", "captured_value", "captured_value_corrected", "the corrected route: share of the oracle's gain"
        ),
        added(
            "feed_down", "mae_min", "error_added_feed_down", "error added while the traffic feed is down, as a share"
        ),
        of("feed_down", "coverage", "coverage_feed_down", "true coverage while the feed is down"),
        of("feed_down_same", "coverage", "coverage_feed_down_same_model", "the same with the model for live traffic"),
        added("no_driver", "mae_min", "error_added_no_driver", "error added without the feature store, as a share"),
        added("engine_down", "mae_min", "error_added_engine_down", "error added without a routing engine, as a share"),
        of("engine_down", "coverage", "coverage_engine_down", "true coverage without a routing engine"),
        added(
            "usual_routes", "ride_min", "ride_added_usual_routes", "time added by routes that ignore today's traffic"
        ),
        of("served", "late", "late_p50", "share of rides that take longer than quoted, quoting P50"),
        of("served", "cancelled", "cancelled_p50", "share of quotes that riders cancel, quoting P50"),
        of("p70", "late", "late_p70", "share of rides that take longer than quoted, quoting P70"),
        of("p70", "cancelled", "cancelled_p70", "share of quotes that riders cancel, quoting P70"),
    ]


def figure_of(score: Score, id: str, text: str) -> Figure:
    return Figure(id, text, score.value, *score.interval(), score.unit)
