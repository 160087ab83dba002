"""The player follows the reports of a day as a worker does, and the judge values quotes by the true law."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eta_prediction.design import DESIGN
from eta_prediction.domain import Array
from eta_prediction.evaluation.judge import Judge, interval_loss
from eta_prediction.evaluation.player import EtaPlayer
from eta_prediction.evaluation.rides.cases import PlayedQuote, Ride
from eta_prediction.evaluation.sweeps import SWEEPS, UNSEEN, measure_quality
from infra.build.fingerprints import CURRENT
from infra.evaluation.experiment import Play, Score
from infra.settings import Settings

RIDES = 120


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge(DESIGN.configuration("smoke"))


@pytest.fixture(scope="module")
def rides(judge: Judge) -> Sequence[Ride]:
    return judge.cases(RIDES)


@pytest.fixture(scope="module")
def player(settings: Settings) -> EtaPlayer:
    return open_player(settings)


def open_player(settings: Settings) -> EtaPlayer:
    release = json.loads((settings.design_root(DESIGN.name) / CURRENT).read_text())["release"]
    return EtaPlayer(Path(release), DESIGN.configuration("smoke"), settings)


def play(player: EtaPlayer, rides: Sequence[Ride], knobs: dict[str, Any] | None = None) -> list[Play]:
    return [player.play(ride, knobs or {}) for ride in rides]


def scores(judge: Judge, rides: Sequence[Ride], plays: Sequence[Play]) -> dict[str, Score]:
    return {score.id: score for score in judge.trial(rides, plays).scores(plays)}


def test_rides_are_those_of_the_day_after_the_history_in_order(judge: Judge, rides: Sequence[Ride]) -> None:
    world = judge.config.world
    assert len(rides) == RIDES
    departures = np.array([ride.at_ts for ride in rides])
    assert (np.diff(departures) >= 0).all()
    assert (departures >= rides[0].reported.from_ts + 86_400).all()
    assert judge.cases(RIDES) == rides
    assert departures.max() < rides[0].reported.from_ts + 2 * 86_400
    assert all(ride.driver_id < world.drivers for ride in rides)


def test_player_uses_no_report_of_the_future(player: EtaPlayer, rides: Sequence[Ride]) -> None:
    """A player that sees the reports up to a ride answers it like one that sees the reports of the whole day."""
    ride = rides[RIDES // 2]
    driven = ride.reported.driven
    is_known = driven.known_ts <= ride.at_ts
    incidents = ride.reported.incidents
    reported = incidents.reported_ts <= ride.at_ts
    early = replace(
        ride.reported,
        driven=driven.take(np.flatnonzero(is_known)),
        incidents=replace(incidents, **{name: values[reported] for name, values in vars(incidents).items()}),
    )
    assert 0 < is_known.sum() < len(is_known)
    whole, part = player.play(ride, {}), player.play(replace(ride, reported=early), {})
    np.testing.assert_array_equal(whole.answer.quantiles, part.answer.quantiles)
    np.testing.assert_array_equal(whole.answer.edges, part.answer.edges)


def test_same_ride_gets_the_same_quote_in_any_order(settings: Settings, rides: Sequence[Ride]) -> None:
    some = rides[::10]
    forwards, backwards = play(open_player(settings), some), play(open_player(settings), some[::-1])[::-1]
    for one, other in zip(forwards, backwards, strict=True):
        np.testing.assert_array_equal(one.answer.quantiles, other.answer.quantiles)


def test_oracle_captures_everything_and_loses_least(judge: Judge, rides: Sequence[Ride], player: EtaPlayer) -> None:
    plays = play(player, rides)
    perfect = [answered(one, oracle(judge, ride, one)) for ride, one in zip(rides, plays, strict=True)]
    found, best = scores(judge, rides, plays), scores(judge, rides, perfect)
    assert best["captured_value"].value == pytest.approx(1.0)
    assert best["bias_min"].value == pytest.approx(0.0, abs=1e-9)
    assert best["pinball_over_oracle"].value == pytest.approx(1.0)
    assert best["coverage"].value == pytest.approx(0.8, abs=0.01)
    assert best["late"].value == pytest.approx(0.5, abs=0.01)
    for name in ("mae_min", "interval_loss_min"):
        assert found[name].value > best[name].value, name
    assert 0.3 < found["captured_value"].value < 1.0


def test_later_quotes_are_cancelled_more_and_late_less(judge: Judge, rides: Sequence[Ride], player: EtaPlayer) -> None:
    low, high = (scores(judge, rides, play(player, rides, {"quote_quantile": level})) for level in (0.3, 0.8))
    assert low["late"].value > high["late"].value + 0.2
    assert high["cancelled"].value > low["cancelled"].value


def test_traffic_helps_and_a_request_can_do_without(judge: Judge, rides: Sequence[Ride], player: EtaPlayer) -> None:
    seen, unseen = (scores(judge, rides, play(player, rides, dict(knobs))) for knobs in ({}, UNSEEN))
    assert unseen["mae_min"].value > seen["mae_min"].value


def test_routes_at_live_speeds_take_less_time(judge: Judge, rides: Sequence[Ride], player: EtaPlayer) -> None:
    live, shortest = (scores(judge, rides, play(player, rides, {"found_with": by})) for by in ("live", "distance"))
    assert shortest["ride_min"].value > 1.05 * live["ride_min"].value


def test_responses_over_http_have_a_value_at_any_later_time(judge: Judge, rides: Sequence[Ride]) -> None:
    some = list(rides[::4])
    at_ts = some[0].reported.from_ts + 2 * 86_400 + 3_600
    driven = [judge.later.driven(ride, at_ts, np.zeros(0, np.int64)) for ride in some]
    answers = [{"departure_ts": at_ts, "edges": [], "p50_min": float(np.median(one.law)) / 60} for one in driven]
    assert judge.captured_by(some, answers).value == pytest.approx(1.0)
    worse = [answer | {"p50_min": 1.2 * answer["p50_min"]} for answer in answers]
    assert judge.captured_by(some, worse).value < 0.9
    assert judge.question(some[0])["origin"] == {"node": some[0].origin}


def test_interval_loss_is_least_for_the_true_quantiles() -> None:
    law = np.random.default_rng(0).lognormal(6, 0.3, (1, 4_000))
    true = np.quantile(law, (0.1, 0.5, 0.9), axis=1).T
    least = interval_loss(law, true)[0]
    for factor in (0.8, 0.95, 1.05, 1.2):
        assert interval_loss(law, true * np.array([factor, 1.0, 1.0]))[0] > least
        assert interval_loss(law, true * np.array([1.0, 1.0, factor]))[0] > least


def test_quality_figures_show_what_each_fallback_costs(player: EtaPlayer, judge: Judge) -> None:
    figures = {figure.id: figure for figure in measure_quality(player, judge, lambda *_: None, cases=80)}
    assert figures["error_added_feed_down"].value > 0
    assert figures["error_added_engine_down"].value > figures["error_added_feed_down"].value
    assert figures["late_p70"].value < figures["late_p50"].value
    assert all(figure.low <= figure.value <= figure.high for figure in figures.values())


def test_sweeps_name_scores_of_a_trial(judge: Judge, rides: Sequence[Ride], player: EtaPlayer) -> None:
    known = set(scores(judge, rides[:3], play(player, rides[:3]))) | {"p50_ms", "p99_ms", "cpu_ms"}
    assert {name for sweep in SWEEPS for name in (sweep.x, sweep.y)} <= known


def test_unbiased_quotes_with_the_promised_coverage_are_best(
    judge: Judge, rides: Sequence[Ride], player: EtaPlayer
) -> None:
    """The oracle's quotes are better on these axes than quotes that are too long or too short."""
    plays = play(player, rides)
    best = [oracle(judge, ride, one) for ride, one in zip(rides, plays, strict=True)]

    def moved(seconds: float, wider: float) -> dict[str, Score]:
        steps = np.array([seconds - wider, seconds, seconds + wider])
        return scores(judge, rides, [answered(one, times + steps) for one, times in zip(plays, best, strict=True)])

    true = moved(0.0, 0.0)
    for other in (moved(90.0, 0.0), moved(-90.0, 0.0)):
        assert all(true[name].merit > other[name].merit for name in ("bias_min", "bias_pooled_min"))
    for other in (moved(0.0, 60.0), moved(0.0, -60.0)):
        assert true["coverage"].merit > other["coverage"].merit


def answered(play: Play, quantiles: Array) -> Play:
    return replace(play, answer=PlayedQuote(play.answer.edges, quantiles, float(quantiles[1])))


def oracle(judge: Judge, ride: Ride, play: Play) -> Array:
    law = judge.driven(ride, play.answer.edges).law
    found: Array = np.quantile(law, (0.1, 0.5, 0.9))
    return found
