"""Simulated visitors send requests like an app, react by the oracle, and are reproducible."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from feed_ranking.config import SMOKE
from feed_ranking.events.schemas import Impression, Reaction
from feed_ranking.world.truth import make_world
from feed_ranking.world.visitors import DAYS_AHEAD, FeedVisit, Visitors
from infra.columns import DAY_S
from infra.evaluation.population import Events
from infra.simulation.streams import end_ts
from lab.people.live_tally import Tally

CONFIG = replace(SMOKE, world=replace(SMOKE.world, users=300, days=3))
NOW = end_ts(CONFIG.world)
AD_PLACES = (6, 13)


@pytest.fixture(scope="module")
def people() -> Visitors:
    return Visitors(CONFIG, seed=5)


def answer_to(people: Visitors, question: Mapping[str, Any], number: int) -> dict[str, Any]:
    """Return a service response: a slate seeded by `number`, with two ads and one unknown post."""
    truth, rng = people.oracle.world.posts, np.random.default_rng([number, len(question["seen"])])
    alive = np.flatnonzero((truth.published_ts > NOW - 72 * 3600) & (truth.published_ts <= NOW))
    posts = rng.permutation(np.setdiff1d(alive, question["seen"]))[: question["k"]]
    items = []
    for position, post in enumerate(posts.tolist()):
        item: dict[str, Any] = {"position": position, "propensity": 0.5, "ad_id": None}
        if position in AD_PLACES:
            item |= {"post_id": None, "creator_id": None, "topic": None, "ad_id": 3}
        elif position == 4:
            item |= {"post_id": 10**9 + number, "creator_id": 10**6, "topic": 2}
        else:
            item |= {"post_id": post, "creator_id": int(truth.creator[post]), "topic": int(truth.topic[post])}
        items.append(item)
    slate_id = 2**51 + 4 * number + len(question["seen"]) // question["k"]
    return {"slate": items, "slate_id": slate_id, "policy": "ranked_v1", "request_ts": NOW + number}


def live(people: Visitors, visit: FeedVisit, number: int) -> list[Events]:
    """Run one visit to its end."""
    events = []
    while (question := visit.question()) is not None:
        events.append(visit.react(answer_to(people, question, number)))
    return events


def test_same_seed_and_answers_give_the_same_events_in_any_visit_order(people: Visitors) -> None:
    again = Visitors(CONFIG, seed=5)
    one = {number: live(people, people.visit(number), number) for number in range(40)}
    two = {number: live(again, again.visit(number), number) for number in reversed(range(40))}
    assert one == two
    interleaved = [people.visit(number) for number in range(3)]
    firsts = [visit.react(answer_to(people, visit.question() or {}, n)) for n, visit in enumerate(interleaved)]
    assert firsts == [one[number][0] for number in range(3)]
    other = Visitors(CONFIG, seed=6)
    assert {number: live(other, other.visit(number), number) for number in range(40)} != one


def test_events_match_the_contract_and_cover_only_reached_positions(people: Visitors) -> None:
    by_service = {"seen_ts", "label_ts"}
    for number in range(40):
        depth = 0
        for events in live(people, people.visit(number), number):
            impressions, reactions = events["impressions"], events["reactions"]
            assert len(impressions) == len(reactions) <= 20
            assert [row["position"] for row in impressions] == list(range(len(impressions)))
            assert [row["depth"] for row in impressions] == list(range(depth, depth + len(impressions)))
            depth += 20
            for seen, reaction in zip(impressions, reactions, strict=True):
                assert seen.keys() == {item.name for item in fields(Impression)} - by_service
                assert reaction.keys() == {item.name for item in fields(Reaction)} - by_service
                assert seen.items() <= reaction.items()
                is_ad = seen["position"] in AD_PLACES
                assert (seen["post_id"] == -1, seen["creator_id"] == -1, seen["ad_id"] == 3) == (is_ad,) * 3
                assert reaction["clicked"] == (reaction["dwell_s"] > 0)
                Impression(**seen, seen_ts=0.0)
                Reaction(**reaction, seen_ts=0.0, label_ts=0.0)
            assert not any(row["left"] for row in reactions[:-1])


def test_session_has_one_user_and_no_repeated_posts_until_it_ends(people: Visitors) -> None:
    pages = []
    for number in range(60):
        visit, shown, ids = people.visit(number), [], set()
        for page in itertools.count():
            question = visit.question()
            if question is None:
                break
            assert question["seen"] == shown
            assert question["user_id"] == visit.user
            assert question["knobs"] == {"randomised_share": 0.05}
            answer = answer_to(people, question, number)
            shown += [item["post_id"] for item in answer["slate"] if item["post_id"] is not None]
            reactions = visit.react(answer)["reactions"]
            ids |= {row["session_id"] for row in reactions}
            assert (visit.question() is None) == (reactions[-1]["left"] or page == CONFIG.world.max_slates - 1)
        pages.append(page)
        assert len(ids) == 1
    assert set(pages) == {1, 2, 3}


def test_observed_measures_agree_with_the_oracle(people: Visitors) -> None:
    tally = Tally(people.measures)
    for number in range(1500):
        visit = people.visit(number)
        live(people, visit, number)
        tally.ended(visit)
    for row in tally.rows():
        half = row["high"] - row["value"]
        assert abs(row["value"] - row["expected"]) < 2 * half, row
        assert 0 < half < 0.25 * row["value"], f"{row['id']}: the interval is too wide"


def test_visitors_follow_user_activity_and_the_configured_request_rate(people: Visitors) -> None:
    users = np.array([people.visit(number).user for number in range(4000)])
    activity = people.oracle.world.people.activity
    often = activity >= np.median(activity)
    assert often[users].mean() == pytest.approx(activity[often].sum(), abs=0.03)
    gaps = np.array(list(itertools.islice(people.gaps_s(8.0), 4000)))
    pages = np.mean([len(live(people, people.visit(number), number)) for number in range(800)])
    assert pages / gaps.mean() == pytest.approx(8.0, rel=0.08)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.08), "exponential"
    assert list(itertools.islice(Visitors(CONFIG, seed=5).gaps_s(8.0), 9)) == gaps[:9].tolist()


def test_publications_continue_after_the_history_without_duplicates(people: Visitors) -> None:
    cuts = NOW + np.array([0.0, 1.0, 3600.0, 86_400.0, 2 * 86_400.0])
    posts = [post for low, high in itertools.pairwise(cuts) for post in people.publications(low, high)]
    first = len(make_world(CONFIG.world).posts)
    assert [post["post_id"] for post in posts] == list(range(first, first + DAYS_AHEAD * CONFIG.world.posts_per_day))
    assert people.until_ts == NOW + DAYS_AHEAD * DAY_S
    assert not people.publications(people.until_ts, people.until_ts + DAY_S)
    assert not people.publications(NOW + 100, NOW), "a reversed time range publishes nothing"
    assert max(post["creator_id"] for post in posts) >= CONFIG.world.creators, "creators that joined later publish too"
    keys = {"post_id", "creator_id", "topic", "media", "quality_signal", "bait_signal"}
    assert all(post.keys() == keys for post in posts)


def test_empty_slate_ends_the_visit_without_events(people: Visitors) -> None:
    visit = people.visit(0)
    question = visit.question()
    assert question is not None
    assert visit.react({**answer_to(people, question, 0), "slate": []}) == {}
    assert visit.question() is None


def test_malformed_answer_raises(people: Visitors) -> None:
    with pytest.raises(KeyError):
        people.visit(0).react({"slate": [{"position": 0}], "request_ts": NOW, "slate_id": 1})


def test_shifted_visitors_react_by_the_shifted_truth_and_the_oracle_expects_it(people: Visitors) -> None:
    """The fixture's people are shared, so the shift is taken back, which must restore every event."""
    before = {number: live(people, people.visit(number), number) for number in range(20)}
    begun, tally = {number: people.visit(number) for number in range(500)}, Tally(people.measures)
    people.shift(1.0)
    moved = 0.0
    for number, unshifted in begun.items():
        visit = people.visit(number)
        live(people, visit, number)
        tally.ended(visit)
        events = live(people, unshifted, number)
        assert events == before.get(number, events), "a visit that has begun keeps its world"
        moved += abs(visit.expected["clicks"][0] - unshifted.expected["clicks"][0])
    for row in tally.rows():
        half = row["high"] - row["value"]
        assert abs(row["value"] - row["expected"]) < 2 * half, row
    assert moved > 0.1 * sum(visit.expected["clicks"][0] for visit in begun.values())
    people.shift(0.0)
    assert {number: live(people, people.visit(number), number) for number in range(20)} == before
