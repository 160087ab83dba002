"""Simulated visitors send requests like a page, react by the oracle, and report each click once."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from ctr_prediction.config import SMOKE
from ctr_prediction.events.schemas import Click, Impression
from ctr_prediction.online.event_api import EventsIn
from ctr_prediction.world.oracle import Context
from ctr_prediction.world.shift import shifted_segments
from ctr_prediction.world.visitors import AT_ONCE_S, PageVisit, Visitors
from infra.columns import DAY_S
from infra.evaluation.population import Events
from infra.simulation.streams import end_ts
from lab.people.live_tally import Tally

CONFIG = replace(SMOKE, world=replace(SMOKE.world, users=400, click_bias=-1.5))
NOW = end_ts(CONFIG.world)
PREDICTED = 0.1


@pytest.fixture
def people() -> Visitors:
    return Visitors(CONFIG, seed=5)


def answer_to(people: Visitors, question: Mapping[str, Any], number: int) -> dict[str, Any]:
    """Return a service response with random ads; the last slot of every other page is unsold."""
    world, rng = people.oracle.world, np.random.default_rng(number)
    sold = question["slots"] - number % 2
    slate = [
        {
            "slot": slot,
            "ad_id": ad,
            "campaign_id": int(world.ads.campaign[ad]),
            "creative_id": int(world.ads.creative[ad]),
            "p_click": PREDICTED,
            "bid": 0.5,
            "ecpm": 1.0,
            "price": round(0.1 + 0.05 * slot + 0.01 * (number % 7), 3),
            "propensity": 0.5,
            "seen": number % 4,
        }
        for slot, ad in enumerate(rng.choice(len(world.ads.campaign), sold, replace=False).tolist())
    ]
    return {"slate": slate, "auction_id": 2**47 + number, "policy": "auction_v2", "request_ts": NOW + number}


def live(people: Visitors, numbers: range) -> dict[int, Events]:
    events_of = {}
    for number in numbers:
        visit = people.visit(number)
        question = visit.question()
        assert question is not None
        events_of[number] = visit.react(answer_to(people, question, number))
        assert visit.question() is None, "a visit requests one page"
    return events_of


def test_same_seed_and_answers_give_the_same_events_in_any_visit_order(people: Visitors) -> None:
    again, other = Visitors(CONFIG, seed=5), Visitors(CONFIG, seed=6)
    one, two = live(people, range(60)), {n: live(again, range(n, n + 1))[n] for n in reversed(range(60))}
    assert one == two
    assert live(other, range(60)) != one
    late, late_again = (someone.publications(NOW, NOW + 10 * DAY_S) for someone in (people, again))
    assert late == late_again
    assert len(late) > 10


def test_events_match_the_request_schema_and_the_event_fields(people: Visitors) -> None:
    events_of = live(people, range(80))
    for events in events_of.values():
        EventsIn.model_validate(events)
        assert all(
            row.keys() == {item.name for item in fields(Impression)} - {"seen_ts"} for row in events["impressions"]
        )
    clicks = [row for events in events_of.values() for row in events["clicks"]]
    clicks += people.publications(NOW, NOW + 10 * DAY_S)
    shown = {(row["auction_id"], row["slot"]): row for events in events_of.values() for row in events["impressions"]}
    assert clicks
    for row in clicks:
        assert row.keys() == {item.name for item in fields(Click)} - {"label_ts"}
        assert row.items() <= shown[row["auction_id"], row["slot"]].items()


def test_click_is_published_once_with_its_page_or_when_due(people: Visitors) -> None:
    events_of = live(people, range(400))
    at_once = [(row["auction_id"], row["slot"]) for events in events_of.values() for row in events["clicks"]]
    cuts = NOW + np.array([0.0, 100, 460, 3600, 12 * 3600, 10 * DAY_S])
    parts = [people.publications(low, high) for low, high in itertools.pairwise(cuts)]
    late = [(row["auction_id"], row["slot"]) for part in parts for row in part]
    assert len(set(at_once + late)) == len(at_once + late) > 100
    assert all(row["request_ts"] + AT_ONCE_S < high for part, high in zip(parts, cuts[1:], strict=True) for row in part)
    assert len(parts[-1]) > 0 < len(parts[3]), "slow clicks take hours"
    assert not people.publications(NOW, NOW + 100 * DAY_S)


def test_late_clicks_are_published_once_with_concurrent_visits(people: Visitors) -> None:
    found: list[tuple[int, int]] = []
    threads = [threading.Thread(target=live, args=(people, range(at, at + 50))) for at in range(0, 400, 50)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        found += [(row["auction_id"], row["slot"]) for row in people.publications(NOW, NOW + 1e9)]
    found += [(row["auction_id"], row["slot"]) for row in people.publications(NOW, NOW + 1e9)]
    alone = Visitors(CONFIG, seed=5)
    live(alone, range(400))
    assert sorted(found) == sorted((row["auction_id"], row["slot"]) for row in alone.publications(NOW, NOW + 1e9))


def test_observed_measures_agree_with_the_oracle(people: Visitors) -> None:
    tally = Tally(people.measures)
    for number in range(3000):
        visit = people.visit(number)
        visit.react(answer_to(people, visit.question() or {}, number))
        tally.ended(visit)
    for row in tally.rows():
        half = row["high"] - row["value"]
        assert abs(row["value"] - row["expected"]) <= 2 * half, row
        assert half < 0.2 * row["value"], f"{row['id']}: the interval is too wide"


def test_click_rate_matches_the_oracle_probability(people: Visitors) -> None:
    world = people.oracle.world
    ad = int(np.argmax(world.ads.leaning))
    row = {"slot": 0, "ad_id": ad, "campaign_id": 0, "p_click": 0.5, "bid": 1, "price": 1, "propensity": 1, "seen": 2}
    answer = {"slate": [row], "auction_id": 1, "policy": "auction_v2", "request_ts": NOW}
    context = Context(np.array(1), np.array(0), np.array(NOW), np.array([2]))
    p = float(people.oracle.p_click(np.array(3), np.array([ad]), context, np.array([0]))[0])
    rng, later = np.random.default_rng(0), list[float]()
    clicks = 0
    for _ in range(4000):
        visit = PageVisit(people.oracle, rng, lambda at_ts, click: later.append(at_ts))
        visit.user, visit._publisher, visit._device = 3, 1, 0
        clicks += len(visit.react(answer)["clicks"])
    share = (clicks + len(later)) / 4000
    assert share == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / 4000))
    delays = np.array(later) - NOW
    assert (delays > 600).mean() == pytest.approx(CONFIG.world.slow_share, abs=0.07)


def test_visitors_follow_user_activity_and_the_configured_arrival_rate(people: Visitors) -> None:
    questions = [people.visit(number).question() or {} for number in range(4000)]
    world = people.oracle.world
    users = np.array([question["user_id"] for question in questions])
    often = world.people.activity >= np.median(world.people.activity)
    assert often[users].mean() == pytest.approx(world.people.activity[often].sum(), abs=0.03)
    publishers = np.array([question["context"]["publisher_id"] for question in questions])
    big = int(np.argmax(world.publishers.traffic))
    assert (publishers == big).mean() == pytest.approx(world.publishers.traffic[big], abs=0.03)
    assert [question["slots"] for question in questions] == world.publishers.slots[publishers].tolist()
    gaps = np.array(list(itertools.islice(people.gaps_s(8.0), 4000)))
    assert gaps.mean() == pytest.approx(1 / 8, rel=0.08)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.08), "exponential"


def test_empty_page_yields_no_events_and_counts_as_unsold(people: Visitors) -> None:
    visit = people.visit(0)
    question = visit.question() or {}
    assert visit.react({**answer_to(people, question, 0), "slate": []}) == {}
    assert visit.observed["filled"] == (0.0, float(question["slots"]))


def test_malformed_answer_raises(people: Visitors) -> None:
    with pytest.raises(KeyError):
        people.visit(0).react({"slate": [{"slot": 0}], "request_ts": NOW, "auction_id": 1})


def test_shifted_visitors_click_by_the_shifted_truth_and_the_oracle_expects_it(people: Visitors) -> None:
    before, old = live(people, range(60)), people.visit(3)
    question = old.question()
    assert question is not None
    people.shift(1.5)
    segments = shifted_segments(CONFIG.world)
    tally = {True: Tally(people.measures), False: Tally(people.measures)}
    plain = Visitors(CONFIG, seed=5)
    for number in range(1500):
        visit, unshifted = people.visit(number), plain.visit(number)
        for one in (visit, unshifted):
            one.react(answer_to(people, one.question() or {}, number))
        is_shifted = bool(people.oracle.world.people.segment[visit.user] in segments)
        tally[is_shifted].ended(visit)
        if is_shifted:
            assert visit.expected["clicks"][0] > 1.1 * unshifted.expected["clicks"][0]
        else:
            assert visit.expected == unshifted.expected
            assert visit.observed == unshifted.observed
    for one in tally.values():
        row = next(row for row in one.rows() if row["id"] == "clicks")
        assert abs(row["value"] - row["expected"]) < 2 * (row["high"] - row["value"]), row
    assert old.react(answer_to(people, question, 3)) == before[3], "a visit that has begun keeps its world"
    people.shift(0.0)
    assert live(people, range(60)) == before
