"""Ranker inputs have unique names, agree between training and serving, and are smoothed for sparse counts."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feed_ranking.config import FeedConfig
from feed_ranking.domain import COUNTS, CREATOR_COUNTS, STATS, TOPIC_COUNTS, PostFeatures, UserFeatures
from feed_ranking.features.views import default_user
from feed_ranking.model.inputs import (
    LIGHT_NAMES,
    Context,
    creator_names,
    item_names,
    post_inputs,
    post_names,
    post_tower_inputs,
    ranker_inputs,
    ranker_names,
    user_inputs,
    user_names,
    user_tower_inputs,
)
from tests.support.feed_parts import CREATORS, PRIORS, TOPICS, many, some_posts, some_users

NAMES = ranker_names(TOPICS)
HOUR_S = 3600.0
Row = dict[str, float]


def pairs(
    user: UserFeatures, posts: PostFeatures, *, now_ts: float = 2e5, depth: int = 0, before: Any = 0, tower: float = 0.5
) -> list[Row]:
    """The inputs of one user for each post, by name."""
    creator_before = np.broadcast_to(np.asarray(before), len(posts))
    score = np.full(len(posts), tower, np.float32)
    item_side = post_inputs(posts, PRIORS)
    matrix = ranker_inputs(user, posts, item_side, score, Context(now_ts, depth, creator_before), PRIORS)
    return [dict(zip(NAMES, row, strict=True)) for row in matrix.tolist()]


def a_user(**known: Any) -> UserFeatures:
    """Return the default user with the given features."""
    user = default_user(TOPICS, slots=3)
    return replace(user, **{name: np.array([value], getattr(user, name).dtype) for name, value in known.items()})


def some_post(count: int = 1, **known: Any) -> PostFeatures:
    """Return posts of creator 0 and topic 0 without impressions; `known` sets fields or columns of `stats`."""
    stats = np.zeros((count, len(STATS)), np.float32)
    for name in known.keys() & set(STATS):
        stats[:, STATS.index(name)] = known[name]
    zeros = {item.name: np.zeros(count, np.int64) for item in fields(PostFeatures) if item.name != "stats"}
    own = {name: np.broadcast_to(np.asarray(value), count) for name, value in known.items() if name in zeros}
    return PostFeatures(**{**zeros, **own, "stats": stats})


def topic_counts(**by_topic: list[float]) -> npt.NDArray[np.float64]:
    return np.array([by_topic.get(name, [0.0] * TOPICS) for name in TOPIC_COUNTS]).ravel()


def test_ranker_has_at_least_100_uniquely_named_inputs_of_every_family() -> None:
    names = ranker_names(FeedConfig().world.topics)
    assert len(set(names)) == len(names)
    assert len(names) >= 100
    assert {name.split("_")[0] for name in names} == {"user", "creator", "post", "context", "retrieval"}
    for family in ("user_creator_", "user_topic_"):
        assert any(name.startswith(family) for name in names), "inputs of the user-item pair"


def test_light_ranker_inputs_are_a_subset_of_heavy_ranker_inputs() -> None:
    assert set(LIGHT_NAMES) < set(NAMES)
    assert len(set(LIGHT_NAMES)) == len(LIGHT_NAMES)


@pytest.mark.parametrize("topics", [1, 4, 9])
def test_input_columns_match_their_names_for_any_number_of_topics(topics: int) -> None:
    priors = replace(PRIORS, topics=topics, follow_shares=(1 / topics,) * topics)
    user, posts = default_user(topics), some_post(3)
    item_side = post_inputs(posts, priors)
    context = Context(0.0, 0, np.zeros(3, int))
    assert user_inputs(user, priors).shape == (1, len(user_names()))
    assert item_side.shape == (3, len(item_names(topics)))
    assert list(item_names(topics)) == [*creator_names(), *post_names(topics)]
    assert ranker_inputs(user, posts, item_side, np.zeros(3), context, priors).shape == (3, len(ranker_names(topics)))


@given(seed=st.integers(0, 10_000), users=st.integers(2, 6), posts=st.integers(1, 20))
@settings(deadline=None, max_examples=40)
def test_batched_users_have_the_same_inputs_as_single_users(seed: int, users: int, posts: int) -> None:
    """Training passes many users, serving passes one."""
    viewers, shown, score, context, rows = many(seed, users, posts)
    item_side = post_inputs(shown, PRIORS)
    together = ranker_inputs(viewers, shown, item_side, score, context, PRIORS, rows)
    for user in range(users):
        mine = np.flatnonzero(rows == user)
        alone = ranker_inputs(
            viewers.take(np.array([user])),
            shown.take(mine),
            post_inputs(shown.take(mine), PRIORS),
            score[mine],
            Context(context.now_ts[mine], context.depth[mine], context.creator_before[mine]),
            PRIORS,
        )
        np.testing.assert_allclose(together[mine], alone, rtol=1e-5, atol=1e-6)
    towers = user_tower_inputs(viewers, PRIORS)
    for user in range(users):
        alone = user_tower_inputs(viewers.take(np.array([user])), PRIORS)
        np.testing.assert_allclose(towers[[user]], alone, rtol=1e-5, atol=1e-6)


def test_scalar_context_equals_a_context_per_post() -> None:
    viewers, shown, score, _, _ = many(1, 1, 9)
    before, item_side = np.zeros(9, np.int64), post_inputs(shown, PRIORS)
    one = ranker_inputs(viewers, shown, item_side, score, Context(3e5, 4, before), PRIORS)
    each = ranker_inputs(viewers, shown, item_side, score, Context(np.full(9, 3e5), np.full(9, 4), before), PRIORS)
    np.testing.assert_allclose(one, each, rtol=1e-6)


@given(seed=st.integers(0, 10_000), order=st.permutations(range(6)), padding=st.integers(0, 3))
@settings(deadline=None, max_examples=30)
def test_inputs_do_not_depend_on_list_order_or_padding(seed: int, order: list[int], padding: int) -> None:
    viewers, shown, score, context, _ = many(seed, 1, 8)
    item_side = post_inputs(shown, PRIORS)
    padded = np.pad(viewers.follows[:, order], ((0, 0), (0, padding)), constant_values=-1)
    place = [at for at in order if at < viewers.creators.shape[1]]
    counts = viewers.creator_counts.reshape(1, len(CREATOR_COUNTS), -1)[:, :, place].reshape(1, -1)
    other = replace(viewers, follows=padded, creators=viewers.creators[:, place], creator_counts=counts)
    for inputs in (
        lambda user: ranker_inputs(user, shown, item_side, score, context, PRIORS),
        lambda user: user_tower_inputs(user, PRIORS),
    ):
        np.testing.assert_array_equal(inputs(viewers), inputs(other))


def test_inputs_are_finite_for_a_new_user_and_an_unseen_post() -> None:
    user, posts = default_user(TOPICS), some_post(3)
    item_side = post_inputs(posts, PRIORS)
    for context in (Context(0.0, 0, np.zeros(3, int)), Context(np.full(3, 9e9), np.full(3, 60), np.full(3, 5))):
        inputs = ranker_inputs(user, posts, item_side, np.zeros(3, np.float32), context, PRIORS)
        assert [name for name, column in zip(NAMES, inputs.T, strict=True) if not np.isfinite(column).all()] == []
    assert np.isfinite(user_tower_inputs(user, PRIORS)).all()
    assert np.isfinite(post_tower_inputs(posts, item_side)).all()


def test_rates_equal_the_prior_for_a_new_user_and_an_unseen_post() -> None:
    row = pairs(default_user(TOPICS), some_post())[0]
    for of in ("user", "creator", "post"):
        assert row[f"{of}_click_rate"] == pytest.approx(PRIORS.click_rate)
        assert row[f"{of}_click_rate_recent"] == pytest.approx(PRIORS.click_rate)
        assert row[f"{of}_like_rate"] == pytest.approx(PRIORS.like_rate)
        assert row[f"{of}_comment_rate"] == pytest.approx(PRIORS.comment_rate)
        assert row[f"{of}_dwell_log"] == pytest.approx(np.log(PRIORS.dwell_s))
    worth = np.log(PRIORS.click_rate * PRIORS.dwell_s)
    assert (row["creator_worth_log"], row["post_worth_log"]) == pytest.approx((worth, worth))
    lifts = [name for name in NAMES if "lift" in name or "trend" in name or name == "creator_bait_gap"]
    assert len(lifts) == 10
    assert [row[name] for name in lifts] == pytest.approx([0.0] * len(lifts), abs=1e-6)


EVENTS = {
    "click_rate": ("clicks", "impressions"),
    "like_rate": ("likes", "clicks"),
    "comment_rate": ("comments", "clicks"),
}
EVENTS["dwell_log"] = ("dwell_s", "clicks")


def counted(of: str, events: str, trials: str, seen: tuple[float, float]) -> Row:
    """Return the inputs for the given counts of events and trials of a user, a post or a creator."""
    if of == "user":
        counts = np.zeros(len(COUNTS))
        counts[[COUNTS.index(events), COUNTS.index(trials)]] = seen
        return pairs(a_user(counts_long=counts), some_post())[0]
    known = {f"{of}_{events}": seen[0], f"{of}_{trials}": seen[1]}
    return pairs(default_user(TOPICS), some_post(**known))[0]


@pytest.mark.parametrize("of", ["user", "creator", "post"])
@pytest.mark.parametrize("rate", EVENTS)
@given(trials=st.integers(1, 10_000), share=st.floats(0, 1))
@settings(deadline=None, max_examples=25)
def test_smoothed_rate_moves_from_its_prior_to_the_raw_rate_with_more_trials(
    of: str, rate: str, trials: int, share: float
) -> None:
    scale = 100.0 if rate == "dwell_log" else 1.0
    prior = {"dwell_log": PRIORS.dwell_s}.get(rate) or getattr(PRIORS, rate)
    raw = scale * round(share * trials) / trials

    def smoothed(times: int) -> float:
        value = counted(of, *EVENTS[rate], (raw * trials * times, trials * times))[f"{of}_{rate}"]
        return float(np.exp(value)) if rate == "dwell_log" else value

    once, often = smoothed(1), smoothed(100)
    slack = 1e-4 * scale
    assert min(prior, raw) - slack <= once <= max(prior, raw) + slack
    assert abs(often - raw) <= abs(once - raw) + slack
    assert abs(often - raw) <= abs(prior - raw) * 60 / (60 + 100 * trials) + slack, "no prior weighs more than 60"


def test_post_rate_is_smoothed_towards_the_creator_rate() -> None:
    creator = {"creator_impressions": 1e6, "creator_clicks": 4e5}
    unseen, shown = (
        pairs(default_user(TOPICS), some_post(**creator, post_impressions=count, post_clicks=0))[0] for count in (0, 20)
    )
    assert unseen["post_click_rate"] == pytest.approx(0.4, abs=0.001)
    assert shown["post_click_rate"] == pytest.approx(0.2, abs=0.001), (
        "own counts weigh one half after `strength` impressions"
    )
    assert unseen["post_lift_over_creator"] == pytest.approx(0.0, abs=1e-6)
    assert shown["post_lift_over_creator"] == pytest.approx(np.log(0.5), abs=1e-3)


def test_recent_rate_is_smoothed_towards_the_long_rate_and_trend_is_the_difference() -> None:
    long, recent = np.zeros(len(COUNTS)), np.zeros(len(COUNTS))
    long[:2], recent[:2] = (1e6, 3e5), (20, 20)
    row = pairs(a_user(counts_long=long, counts_recent=recent), some_post())[0]
    assert row["user_click_rate_recent"] == pytest.approx((0.3 * 20 + 20) / 40, abs=1e-3)
    assert row["user_click_trend"] == pytest.approx(row["user_click_rate_recent"] - row["user_click_rate"], abs=1e-6)


def test_follow_input_refers_to_the_creator_of_the_post() -> None:
    posts = some_post(4, creator_id=[7, 2, 5, 0])
    assert [row["user_creator_follows"] for row in pairs(a_user(follows=[5, -1, 7]), posts)] == [1, 0, 1, 0]
    no_follows = replace(a_user(), follows=np.empty((1, 0), np.int64))
    assert [row["user_creator_follows"] for row in pairs(no_follows, posts)] == [0, 0, 0, 0]
    assert pairs(a_user(follows=[5, -1, 7]), posts)[0]["user_follow_count_log"] == pytest.approx(np.log(3))


def test_declared_topics_are_compared_with_the_topic_of_the_post() -> None:
    posts = some_post(TOPICS, topic=range(TOPICS))
    rows = pairs(a_user(declared=[3, 1, -1]), posts)
    assert [row["user_topic_declared"] for row in rows] == [0, 1, 0, 1, 0]
    for topic, row in enumerate(rows):
        assert [row[f"post_topic_{other}"] for other in range(TOPICS)] == np.eye(TOPICS)[topic].tolist()


def test_session_impressions_of_a_creator_are_counted_per_post() -> None:
    rows = pairs(a_user(), some_post(3), before=[0, 3, 1], depth=7)
    assert [row["user_creator_seen_in_session"] for row in rows] == [0, 3, 1]
    assert [row["context_depth_log"] for row in rows] == pytest.approx([np.log(8)] * 3)


def test_known_creator_uses_the_counts_of_its_own_slot() -> None:
    impressions, clicks, dwell_s = [40, 9, 0], [10, 3, 0], [250, 80, 0]
    long = [1000, 100, 0, 0, 0, 50]
    user = a_user(counts_long=long, creators=[6, 2, -1], creator_counts=[*impressions, *clicks, *dwell_s])
    known, second, unknown = pairs(user, some_post(3, creator_id=[6, 2, 4]))
    assert [row["user_creator_is_known"] for row in (known, second, unknown)] == [1, 1, 0]
    logs = [f"user_creator_{name}_log" for name in ("impressions", "clicks", "dwell")]
    assert [known[name] for name in logs] == pytest.approx(np.log1p([40, 10, 250]).tolist())
    assert [second[name] for name in logs] == pytest.approx(np.log1p([9, 3, 80]).tolist())
    assert [unknown[name] for name in logs] == [0, 0, 0]
    usual = (100 + PRIORS.strength * PRIORS.click_rate) / (1000 + PRIORS.strength)
    lift = (10 + PRIORS.pair_strength * usual) / (40 + PRIORS.pair_strength) / usual
    assert known["user_creator_click_lift"] == pytest.approx(np.log(lift), rel=1e-5)
    assert unknown["user_creator_click_lift"] == 0


def test_topic_lift_is_relative_to_the_rates_of_the_user() -> None:
    long = [100, 20, 4, 0, 200, 9]
    mine = topic_counts(impressions=[10, 90, 0, 0, 0], clicks=[8, 12, 0, 0, 0])
    rows = pairs(a_user(counts_long=long, topic_counts=mine), some_post(3, topic=[0, 1, 4]))
    shares = [(row["user_topic_share_of_impressions"], row["user_topic_share_of_clicks"]) for row in rows]
    assert shares == [pytest.approx((0.1, 0.4)), pytest.approx((0.9, 0.6)), (0, 0)]
    usual = (20 + PRIORS.strength * PRIORS.click_rate) / (100 + PRIORS.strength)
    lift = (8 + PRIORS.pair_strength * usual) / (10 + PRIORS.pair_strength) / usual
    assert rows[0]["user_topic_click_lift"] == pytest.approx(np.log(lift), rel=1e-5)
    assert rows[1]["user_topic_click_lift"] < 0 < rows[0]["user_topic_click_lift"]
    assert rows[2]["user_topic_click_lift"] == pytest.approx(0, abs=1e-6)
    assert rows[0]["user_topic_impressions_log"] == pytest.approx(np.log(11))
    assert rows[0]["user_topic_clicks_log"] == pytest.approx(np.log(9))


def test_topic_follow_lift_is_relative_to_the_prior_follow_share() -> None:
    shares = [0.75, 0.25, 0, 0, 0]
    user = a_user(follows=[0, 1, 2, 3], follow_topics=shares)
    rows = pairs(user, some_post(TOPICS, topic=range(TOPICS)))
    assert [row["user_topic_follow_share"] for row in rows] == pytest.approx(shares)
    expected = [
        np.log((4 * share + 8 * usual) / (12 * usual))
        for share, usual in zip(shares, PRIORS.follow_shares, strict=True)
    ]
    assert [row["user_topic_follow_lift"] for row in rows] == pytest.approx(expected, abs=1e-6)


def test_regions_are_compared_and_heat_uses_the_region_of_the_user() -> None:
    heat = {f"heat_{region}": 10.0 * region for region in range(4)}
    rows = pairs(a_user(region=2), some_post(2, creator_region=[2, 1], **heat))
    assert [row["user_creator_same_region"] for row in rows] == [1, 0]
    assert [rows[0][f"user_region_{region}"] for region in range(4)] == [0, 0, 1, 0]
    assert rows[0]["retrieval_heat_here_log"] == pytest.approx(np.log(21))
    assert rows[0]["retrieval_heat_here_share"] == pytest.approx(20 / 61)
    assert rows[0]["post_heat_log"] == pytest.approx(np.log(61))


AGE_NAMES = ("newborn", "fresh", "today")


@pytest.mark.parametrize(
    ("age_h", "expected"),
    [(0, "111"), (0.99, "111"), (1, "011"), (5.99, "011"), (6, "001"), (23.99, "001"), (24, "000"), (-5, "111")],
)
def test_post_age_is_counted_in_hours_from_publication(age_h: float, expected: str) -> None:
    row = pairs(a_user(), some_post(published_ts=1e6), now_ts=1e6 + age_h * HOUR_S)[0]
    assert "".join(str(int(row[f"context_post_is_{name}"])) for name in AGE_NAMES) == expected
    age_h = max(age_h, 0)  # a post with a future timestamp counts as new
    assert row["context_post_age_log"] == pytest.approx(np.log1p(age_h))
    assert row["context_post_age_h"] == pytest.approx(age_h / 24)
    assert row["retrieval_tower_by_age"] == pytest.approx(0.5 * np.log1p(age_h))


@given(now_h=st.integers(0, 10_000), region=st.integers(0, 3))
@settings(deadline=None, max_examples=30)
def test_hour_input_uses_local_time_and_repeats_every_day(now_h: int, region: int) -> None:
    row, next_day, next_week = (
        pairs(a_user(region=region), some_post(), now_ts=(now_h + later) * HOUR_S)[0] for later in (0, 24, 7 * 24)
    )
    hour = (np.arctan2(row["context_hour_sin"], row["context_hour_cos"]) / (2 * np.pi) * 24) % 24
    offset_h = (0, -6, 8, 3)[region]
    assert np.cos((hour - now_h - offset_h) / 24 * 2 * np.pi) == pytest.approx(1, abs=1e-4)
    weekday = ("context_weekday_sin", "context_weekday_cos")
    assert [row[name] for name in ("context_hour_sin", "context_hour_cos")] == pytest.approx(
        [next_day[name] for name in ("context_hour_sin", "context_hour_cos")], abs=1e-4
    )
    assert [row[name] for name in weekday] == pytest.approx([next_week[name] for name in weekday], abs=1e-4)
    assert [row[name] for name in weekday] != pytest.approx([next_day[name] for name in weekday], abs=1e-2)


def test_item_side_inputs_do_not_depend_on_the_user() -> None:
    rng = np.random.default_rng(4)
    posts = some_posts(rng, 6)
    item_side = post_inputs(posts, PRIORS)
    first = len(user_names())
    for user in (a_user(), some_users(rng, 1)):
        inputs = ranker_inputs(user, posts, item_side, np.zeros(6), Context(3e5, 0, np.zeros(6, int)), PRIORS)
        np.testing.assert_array_equal(inputs[:, first : first + item_side.shape[1]], item_side)
    assert NAMES[first : first + item_side.shape[1]] == item_names(TOPICS)


def test_post_tower_inputs_do_not_depend_on_the_publication_time() -> None:
    posts = some_posts(np.random.default_rng(4), 6)
    older = replace(posts, published_ts=posts.published_ts - 1e5)
    now, later = (post_tower_inputs(some, post_inputs(some, PRIORS)) for some in (posts, older))
    np.testing.assert_array_equal(now, later)
    elsewhere = replace(posts, creator_region=(posts.creator_region + 1) % 4)
    assert (post_tower_inputs(elsewhere, post_inputs(elsewhere, PRIORS)) != now).any(axis=1).all()


@pytest.mark.parametrize(
    "change",
    [
        {"counts_long": [50, 9, 0, 0, 0, 3]},
        {"topic_counts": topic_counts(impressions=[5, 0, 0, 0, 0], clicks=[4, 0, 0, 0, 0])},
        {"follows": [1, 2], "follow_topics": [1, 0, 0, 0, 0]},
        {"declared": [2, -1, -1]},
        {"region": 3},
    ],
    ids=lambda change: next(iter(change)),
)
def test_user_tower_inputs_depend_on_every_kind_of_user_feature(change: dict[str, Any]) -> None:
    assert (user_tower_inputs(a_user(**change), PRIORS) != user_tower_inputs(a_user(), PRIORS)).any()


def test_test_data_contains_both_known_and_unknown_creators() -> None:
    viewers, shown, score, context, rows = many(3, 5, 200)
    inputs = ranker_inputs(viewers, shown, post_inputs(shown, PRIORS), score, context, PRIORS, rows)
    for name in ("user_creator_follows", "user_creator_is_known", "user_topic_declared"):
        assert 0.05 < inputs[:, NAMES.index(name)].mean() < 0.95
    assert shown.creator_id.max() < CREATORS
