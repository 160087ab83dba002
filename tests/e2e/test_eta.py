"""Ride ETA answers `lab ask` with a map, `live`, `replay` and `skew`, and `lab load` finds a broken budget."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.settings import Settings
from tests.e2e.conftest import ETA_HOME, Lab, answers
from tests.support.drift_checks import observed_drift


def test_ask_shows_a_route_an_interval_and_a_map(rides: Lab) -> None:
    assert answers(rides.url)
    printed = rides.run("ask", "eta_prediction", "--from", "30", "--to", "1700", "--routes", "2")
    assert "found_with" in printed
    page = next(word for word in printed.split() if word.endswith(".html"))
    picture = Path(page).read_text()
    assert "<svg" in picture
    assert "http" not in picture.replace("http://www.w3.org", ""), "the page loads nothing from elsewhere"
    answer = rides.run("ask", "eta_prediction", "--ride", "pooled", "--json", parse=True)
    assert answer["p10_min"] < answer["p50_min"] < answer["p90_min"]
    assert answer["degraded"] == []
    assert "'standard', 'pooled' or 'airport'" in rides.run("ask", "eta_prediction", "--ride", "taxi", code=2)


def test_simulated_rides_move_the_traffic_and_their_quotes_replay(rides: Lab) -> None:
    """A vehicle uploads its traversals once a minute, so the first ones arrive after a minute."""
    report = rides.run("live", "eta_prediction", "--rate", "6", "--seconds", "80", "--json", parse=True)
    assert report["counts"]["failed"] == 0
    assert report["counts"]["requests"] > 200
    rides.await_settled()
    state = Settings(home=ETA_HOME, preset="smoke").design_root("eta_prediction") / "live" / "roads.npz"
    assert state.exists()
    urls = rides.replica_urls
    assert len(urls) == 2
    found = [rides.run("ask", "eta_prediction", "--json", "--url", url, parse=True)["speeds_id"] for url in urls]
    assert min(found) > 1, "both replicas have the state of the roads that the worker has made"
    assert rides.counted("lab_online_traversals_total") > 100
    assert "all numbers are equal" in rides.run("replay", "eta_prediction")
    assert "all are equal" in rides.run("skew", "eta_prediction")
    found = observed_drift(ETA_HOME, "eta_prediction", after_s=0)
    assert found.matched_share == 1.0, "cancellations that the drift monitor joins with their quote"
    assert not found.judged, "no trip of the last minute is judged yet"


@pytest.mark.timing
@pytest.mark.timeout(1200)
def test_load_without_traffic_breaks_a_budget_and_exits_with_3(timed_rides: Lab, tmp_path: Path) -> None:
    words = ("load", "eta_prediction", "--users", "30", "--out", str(tmp_path))
    with timed_rides.fault("traffic", "down"):
        printed = timed_rides.measure(*words, "--seconds", "2", code=3)
    assert "degraded_share" in printed
    assert "BROKEN" in printed
    verdict = timed_rides.measure(*words, "--seconds", "8", "--json", parse=True)
    assert verdict["passed"]
    assert verdict["figures"]["requests"] >= 1000
