"""Simulated riders ask for quotes, react by the world's laws, and report what happens when it is due."""

from __future__ import annotations

import itertools
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from eta_prediction.config import SMOKE
from eta_prediction.events.schemas import Incident, Traversals, Trip, Weather
from eta_prediction.online.api.event_api import EventsIn
from eta_prediction.online.api.schemas import EtaRequest
from eta_prediction.world.demand import Demand
from eta_prediction.world.live_city import LiveCity
from eta_prediction.world.traffic.city_state import draw_day, first_state
from eta_prediction.world.visitors import ASSIGNED_SHARE, RiderVisit, Visitors
from infra.columns import DAY_S, HOUR_S
from infra.evaluation.population import Events
from infra.simulation.streams import end_ts
from lab.people.live_tally import Tally

CONFIG = SMOKE
NOW = end_ts(CONFIG.world)
MORNING = NOW + 7 * HOUR_S
FIELD = {"traversals": "traversals", "incident": "incidents", "trip": "trips", "weather": "weather"}
KINDS = {"traversals": Traversals, "incident": Incident, "trip": Trip, "weather": Weather}


@pytest.fixture(scope="module")
def city() -> LiveCity:
    return LiveCity(CONFIG.world)


@pytest.fixture
def people() -> Visitors:
    return Visitors(CONFIG, seed=5)


def answer_to(
    city: LiveCity,
    question: Mapping[str, Any],
    number: int,
    at_ts: float = MORNING,
    minutes: float = 12.0,
    width: float = 0.4,
) -> dict[str, Any]:
    """A response with the usual route and an arbitrary band."""
    origin, destination = (question[name]["node"] for name in ("origin", "destination"))
    ends = (np.array([one], np.int64) for one in (origin, destination, 0, 0))
    return {
        "quote_id": 2**47 + number,
        "request_ts": at_ts,
        "departure_ts": at_ts,
        "quoted_min": minutes,
        "p10_min": minutes * (1 - width),
        "p50_min": minutes,
        "p90_min": minutes * (1 + width),
        "policy": "eta_v1",
        "propensity": 0.9,
        "edges": city.usual_route(Demand(np.array([at_ts]), *ends)).tolist(),
        "degraded": [],
    }


def live(
    people: Visitors, numbers: Sequence[int], at_ts: float = MORNING
) -> dict[int, tuple[Mapping[str, Any], Events]]:
    found = {}
    for number in numbers:
        visit = people.visit(number)
        question = visit.question()
        assert question is not None
        found[number] = question, visit.react(answer_to(people.city, question, number, at_ts))
        assert visit.question() is None, "a rider asks once"
    return found


def of_riders(reports: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [row for row in reports if row.get("quote_id", row.get("trip_id", 0)) >= 2**47]


def due_of(report: Mapping[str, Any]) -> float:
    """The earliest time at which the report can be known."""
    if report["kind"] == "traversals":
        return float(max(enter + spent for enter, spent in zip(report["enter_ts"], report["seconds"], strict=True)))
    return float(report.get("cleared_ts") or report.get("reported_ts") or report["at_ts"])


def test_requests_and_reports_fit_the_interfaces(people: Visitors) -> None:
    asked = live(people, range(60))
    for question, events in asked.values():
        EtaRequest.model_validate(question)
        EventsIn.model_validate(events)
    assert 0 < sum(bool(events) for _, events in asked.values()) < 60, "some riders cancel, and say so at once"
    reports = people.publications(MORNING, MORNING + 3 * HOUR_S)
    assert {report["kind"] for report in reports} == set(KINDS)
    for report in reports:
        body = {name: value for name, value in report.items() if name != "kind"}
        EventsIn.model_validate({FIELD[report["kind"]]: [body]})
        assert body.keys() == {item.name for item in fields(KINDS[report["kind"]])} - {"received_ts"}
        KINDS[report["kind"]](**body, received_ts=MORNING).event_id  # noqa: B018


def test_same_number_and_answer_give_the_same_rider_in_any_order(people: Visitors) -> None:
    again, other = Visitors(CONFIG, seed=5), Visitors(CONFIG, seed=6)
    one, two = live(people, range(30)), live(again, range(29, -1, -1))
    assert one == two
    assert live(other, range(30)) != one
    until = MORNING + 3 * HOUR_S
    left, right = (sorted(map(str, of_riders(each.publications(MORNING, until)))) for each in (people, again))
    assert left == right
    assert len(left) > 60


def test_nothing_is_reported_before_it_is_due_and_everything_once(people: Visitors) -> None:
    live(people, range(40))
    cuts = MORNING + np.r_[np.arange(0, 1800, 30), 3600, 3 * HOUR_S]
    parts = [people.publications(float(low), float(high)) for low, high in itertools.pairwise(cuts)]
    for part, (low, high) in zip(parts, itertools.pairwise(cuts), strict=True):
        assert all(due_of(report) < high + 0.01 for report in part)
        city = [report for report in part if report not in of_riders(part) and report["kind"] != "traversals"]
        assert low == MORNING or all(due_of(report) >= low for report in city)
    reports = [report for part in parts for report in part]
    ids = [KINDS[row["kind"]](**{k: v for k, v in row.items() if k != "kind"}, received_ts=0.0) for row in reports]
    names = [(type(event).__name__, event.event_id) for event in ids]
    assert len(set(names)) == len(names)
    assert not of_riders(people.publications(MORNING, MORNING + DAY_S / 4))


def test_trips_upload_their_whole_route_in_order(people: Visitors) -> None:
    asked = live(people, range(40))
    reports = of_riders(people.publications(MORNING, MORNING + 6 * HOUR_S))
    uploads: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    statuses: dict[int, list[str]] = defaultdict(list)
    for report in reports:
        if report["kind"] == "traversals":
            uploads[report["trip_id"]].append(report)
        else:
            statuses[report["quote_id"]].append(report["status"])
    for number, (question, events) in asked.items():
        quote_id = 2**47 + number
        if events:
            assert quote_id not in uploads
            assert [row["status"] for row in events["trips"]] == ["cancelled"]
            continue
        parts = sorted(uploads[quote_id], key=lambda part: int(part["number"]))
        driven = [edge for part in parts for edge in part["edges"]]
        assert driven == answer_to(people.city, question, number)["edges"]
        enter = [at for part in parts for at in part["enter_ts"]]
        assert enter[0] == MORNING
        assert enter == sorted(enter)
        assert statuses[quote_id] == ["picked_up", "arrived"]


def test_observed_measures_follow_the_true_law(people: Visitors) -> None:
    """Over many riders, what happens agrees with what the oracle expects for the same quotes."""
    tally, cancelled = Tally(people.measures), 0
    for number in range(1500):
        visit = people.visit(number)
        question = visit.question()
        assert question is not None
        at_ts = MORNING + 40 * (number % 500)
        cancelled += bool(visit.react(answer_to(people.city, question, number, at_ts, minutes=11 + number % 5)))
        tally.ended(visit)
    rows = {row["id"]: row for row in tally.rows()}
    assert set(rows) == {item.id for item in people.measures}
    for name, row in rows.items():
        half = (row["high"] - row["low"]) / 2
        assert abs(row["value"] - row["expected"]) < 2 * half, (name, row)
    assert rows["cancelled"]["value"] == pytest.approx(cancelled / 1500)
    assert 0.02 < rows["cancelled"]["value"] < 0.9
    assert rows["coverage"]["value"] > 0.1


def test_later_quotes_cancel_more(people: Visitors) -> None:
    def expected(minutes: float) -> float:
        total = 0.0
        for number in range(60):
            visit = people.visit(number)
            question = visit.question()
            assert question is not None
            visit.react(answer_to(people.city, question, number, minutes=minutes))
            total += visit.expected["cancelled"][0]
        return total

    assert expected(8) < expected(16) < expected(32)


def test_great_circle_answer_is_driven_on_the_usual_route(people: Visitors) -> None:
    visit = people.visit(0)
    question = visit.question()
    assert question is not None
    usual = answer_to(people.city, question, 0, minutes=3)
    visit.react(usual | {"edges": []})
    reports = of_riders(people.publications(MORNING, MORNING + 3 * HOUR_S))
    parts = sorted(
        (report for report in reports if report["kind"] == "traversals"), key=lambda part: int(part["number"])
    )
    driven = [edge for part in parts for edge in part["edges"]]
    assert driven in ([], usual["edges"])
    assert bool(driven) or visit.observed["cancelled"][0] == 1


def test_first_publications_contain_what_still_holds(city: LiveCity) -> None:
    people, incidents = Visitors(CONFIG, seed=1), city.day_at(NOW).found.state.incidents
    lasting = np.flatnonzero((incidents.reported_ts > MORNING) & (incidents.end_ts > incidents.reported_ts + 600))
    at_ts = float(incidents.reported_ts[lasting[0]]) + 300
    is_open = (incidents.reported_ts >= NOW) & (incidents.reported_ts < at_ts) & (incidents.end_ts > at_ts)
    found = people.publications(at_ts, at_ts + 1)
    edges = sorted(report["edge"] for report in found if report["kind"] == "incident")
    assert set(incidents.edge[is_open].tolist()) <= set(edges)
    assert is_open.any()
    assert [report for report in found if report["kind"] == "weather"], "the rain of the step"
    again = people.publications(at_ts + 1, at_ts + 2)
    assert not [report for report in again if report["kind"] == "weather"]


def test_days_after_the_history_continue_its_congestion_and_incidents(city: LiveCity) -> None:
    before = first_state(city.world)
    for day in range(CONFIG.world.days):
        _, before = draw_day(city.world, day, before)
    state, _ = draw_day(city.world, CONFIG.world.days, before)
    np.testing.assert_array_equal(city.day_at(NOW).found.state.z, state.z)
    later = city.day_at(NOW + 2.5 * DAY_S)
    assert later.day == CONFIG.world.days + 2
    reports = city.reports(NOW, NOW + 2 * DAY_S)
    at_ts = [due for due, _ in reports]
    assert at_ts == sorted(at_ts)
    cleared = {body["incident_id"] for _, body in reports if body.get("cleared_ts")}
    reported = {body["incident_id"] for _, body in reports if body["kind"] == "incident" and not body["cleared_ts"]}
    assert cleared <= reported, "clearances of the history's incidents are in its log"
    assert len(cleared) > 20
    trips = sum(body["kind"] == "traversals" for _, body in reports)
    assert trips > CONFIG.world.trips_per_day, "the background drives on over midnight"


def test_riders_share_drivers_with_the_history_and_some_have_none(people: Visitors) -> None:
    drivers = [people.visit(number).driver_id for number in range(400)]
    assert max(drivers) < CONFIG.world.drivers
    assert abs(np.mean(np.array(drivers) >= 0) - ASSIGNED_SHARE) < 0.08


def test_reports_of_concurrent_riders_are_published_once(people: Visitors) -> None:
    found: list[str] = []
    threads = [threading.Thread(target=live, args=(people, range(at, at + 10))) for at in range(0, 80, 10)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        found += map(str, of_riders(people.publications(MORNING, MORNING + DAY_S / 2)))
    found += map(str, of_riders(people.publications(MORNING, MORNING + DAY_S / 2)))
    alone = Visitors(CONFIG, seed=5)
    live(alone, range(80))
    assert sorted(found) == sorted(map(str, of_riders(alone.publications(MORNING, MORNING + DAY_S / 2))))


def test_arrivals_follow_the_configured_rate(people: Visitors) -> None:
    gaps = list(itertools.islice(people.gaps_s(4.0), 4000))
    assert np.mean(gaps) == pytest.approx(0.25, rel=0.06)
    assert isinstance(people.visit(0), RiderVisit)


def traversals(reports: Sequence[Mapping[str, Any]]) -> dict[tuple[int, int], tuple[float, float]]:
    """(trip, edge) -> (time of entry, seconds) of all uploads. A route has no edge twice."""
    found: dict[tuple[int, int], tuple[float, float]] = {}
    for report in reports:
        if report["kind"] == "traversals":
            for edge, enter_ts, spent in zip(report["edges"], report["enter_ts"], report["seconds"], strict=True):
                assert (report["trip_id"], edge) not in found, "an upload is published once"
                found[report["trip_id"], edge] = enter_ts, spent
    return found


def test_road_works_slow_the_vehicles_that_enter_the_bridge_while_they_last(people: Visitors) -> None:
    plain, size = Visitors(CONFIG, seed=5), 6.0
    cuts = [MORNING, MORNING + HOUR_S, MORNING + 2 * HOUR_S, MORNING + 5 * HOUR_S]
    shifts = (0.0, size, 0.0)
    found: list[Mapping[str, Any]] = []
    for shift, (low, high) in zip(shifts, itertools.pairwise(cuts), strict=True):
        if low > MORNING:
            people.shift(shift)
        for from_ts in np.arange(low, high, 60.0):
            found += people.publications(from_ts, from_ts + 60.0)
    new, old = traversals(found), traversals(plain.publications(cuts[0], cuts[-1]))
    bridge = set(people._bridge.tolist())
    slowed = 0
    for place in new.keys() & old.keys():
        (enter_ts, new_s), (_, old_s) = new[place], old[place]
        is_slowed = place[1] in bridge and cuts[1] <= enter_ts < cuts[2]
        slowed += is_slowed
        assert new_s == pytest.approx(old_s * (1 + size if is_slowed else 1), abs=0.05), (place, enter_ts)
    assert slowed > 10
    missing = {place for place in new.keys() ^ old.keys() if (old | new)[place][0] < cuts[-1] - HOUR_S}
    assert not missing, "no upload is lost when the works begin or end"


def test_trips_over_the_bridge_take_longer_and_quotes_stay(people: Visitors) -> None:
    """Riders drive the given route, so only the trips over the bridge differ, and the oracle expects it."""
    plain, bridge, tally, passed = Visitors(CONFIG, seed=5), people._bridge, Tally(people.measures), 0
    old = people.visit(0)
    people.shift(4.0)
    for number in range(300):
        visit, unshifted = people.visit(number), plain.visit(number)
        question = visit.question()
        assert question is not None
        assert unshifted.question() == question
        answer = answer_to(plain.city, question, number, minutes=11 + number % 5)
        assert answer == answer_to(people.city, question, number, minutes=11 + number % 5), "the usual route stays"
        visit.react(answer)
        unshifted.react(answer)
        tally.ended(visit)
        assert visit.observed["cancelled"] == unshifted.observed["cancelled"], "riders do not know of the works"
        passes = bool(np.isin(answer["edges"], bridge).any())
        passed += passes
        new_bias, old_bias = (one.expected["bias_min"] for one in (visit, unshifted))
        assert (new_bias[0] < old_bias[0]) if passes else (new_bias == old_bias)
    assert passed > 15
    for row in tally.rows():
        assert abs(row["value"] - row["expected"]) < row["high"] - row["low"], row
    answer = answer_to(people.city, old.question() or {}, 0)
    first = plain.visit(0)
    first.question()
    assert old.react(answer) == first.react(answer)
    assert old.expected == first.expected, "a visit that has begun keeps its world"


def test_a_shift_of_0_restores_the_original_city(people: Visitors) -> None:
    plain = Visitors(CONFIG, seed=5)
    people.shift(4.0)
    people.shift(0.0)
    assert live(people, range(30)) == live(plain, range(30))
    span = (MORNING, MORNING + HOUR_S)
    assert people.publications(*span) == plain.publications(*span)
