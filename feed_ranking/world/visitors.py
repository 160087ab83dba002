"""The simulated visitors of `lab live`: users of the generated world that visit the running feed, and its creators.

They react to served slates by the same mechanisms as in the generated history (`world.visits`). Only the lab uses this
module, through `Design.people`. Serving and training must not import it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from feed_ranking.config import FeedConfig
from feed_ranking.domain import AD
from feed_ranking.world.oracle import Oracle, creators_before
from feed_ranking.world.shift import shifted
from feed_ranking.world.truth import make_world
from feed_ranking.world.visits import (
    Bools,
    Expected,
    Ints,
    Screen,
    Visits,
    draw_visits,
    expect,
    slates_expected,
    truth_of_served,
)
from infra.columns import DAY_S
from infra.evaluation.population import Events, Measure, Sums
from infra.simulation.streams import end_ts, stream

DAYS_AHEAD = 2
"""days after the generated history in which creators continue to publish and new creators join"""
RANDOMISED_SHARE = 0.05
NEW_CREATOR_DAYS = 7.0

MEASURES = (
    Measure("slates", "slates per session"),
    Measure("clicks", "clicks per session"),
    Measure("dwell_s", "dwell per session", "s"),
    Measure("new_creators", f"share of shown posts whose creator joined in the last {NEW_CREATOR_DAYS:.0f} days"),
    Measure("ended_by_ad", "share of sessions that end right after an ad"),
)


class Visitors:
    """The population of one world: the users and posts of its history, and the posts of the days after the history."""

    measures = MEASURES
    events_path = "/v1/events"
    publish_path = "/v1/posts"
    publish_field = "posts"

    def __init__(self, config: FeedConfig, seed: int) -> None:
        world = make_world(replace(config.world, days=config.world.days + DAYS_AHEAD))
        self._original, self.oracle, self.seed = world, Oracle(world), seed
        self.until_ts = end_ts(world.config)
        self._mass = np.cumsum(world.people.activity)

    def gaps_s(self, rate_per_s: float) -> Iterator[float]:
        """Exponential gaps between sessions, so sessions arrive independently. A session makes one or more requests."""
        config, rng = self.oracle.world.config, stream(self.seed, "arrivals")
        is_ad = np.isin(np.arange(config.slate_size), config.ad_positions)
        mean_s = slates_expected(self.oracle, is_ad, config.max_slates) / rate_per_s
        while True:
            yield float(rng.exponential(mean_s))

    def shift(self, size: float) -> None:
        """Rotate the tastes for some topics (`world.shift`), or restore them with a size of 0. Later visits have the
        new tastes."""
        self.oracle = Oracle(shifted(self._original, size))

    def visit(self, number: int) -> FeedVisit:
        rng = stream(self.seed, "visits", number)
        user = int(np.searchsorted(self._mass, rng.random() * self._mass[-1]))
        return FeedVisit(self.oracle, min(user, len(self._mass) - 1), rng)

    def publications(self, from_ts: float, to_ts: float) -> Sequence[Mapping[str, Any]]:
        """Request bodies of the posts published in the interval. Post ids are rows of the world's posts."""
        posts = self.oracle.world.posts
        first, last = np.searchsorted(posts.published_ts, [from_ts, to_ts])
        return [
            {
                "post_id": post,
                "creator_id": int(posts.creator[post]),
                "topic": int(posts.topic[post]),
                "media": int(posts.media[post]),
                "quality_signal": float(posts.quality_signal[post]),
                "bait_signal": float(posts.bait_signal[post]),
            }
            for post in range(int(first), int(last))
        ]


class FeedVisit:
    """One session: it requests slates until the user leaves or has received `max_slates`."""

    def __init__(self, oracle: Oracle, user: int, rng: np.random.Generator) -> None:
        self.user = user
        self._oracle, self._rng = oracle, rng
        self._pages, self._is_over = 0, False
        self._session_id = -1
        self._posts: list[int] = []
        self._creators: Ints = np.empty(0, np.int64)
        self._observed, self._expected = ({item.id: (0.0, 0.0) for item in MEASURES} for _ in range(2))

    @property
    def observed(self) -> Sums:
        return self._observed

    @property
    def expected(self) -> Sums:
        return self._expected

    def question(self) -> Mapping[str, Any] | None:
        config = self._oracle.world.config
        if self._is_over or self._pages >= config.max_slates:
            return None
        knobs = {"randomised_share": RANDOMISED_SHARE}
        return {"user_id": self.user, "k": config.slate_size, "seen": list(self._posts), "knobs": knobs}

    def react(self, answer: Mapping[str, Any]) -> Events:
        """Draw the reactions to a response. Raises `KeyError` or `TypeError` if the response is malformed."""
        slate, now_ts = answer["slate"], float(answer["request_ts"])
        if not slate:
            self._is_over = True
            return {}
        if self._pages == 0:
            self._session_id = int(answer["slate_id"])  # unique among sessions without coordination
        posts, creator = _column(slate, "post_id", AD), _column(slate, "creator_id", -1)
        screen = self._screen(posts, creator, _column(slate, "topic", 0), now_ts)
        came, mean = draw_visits(self._oracle, self._rng, screen), expect(self._oracle, screen)
        self._count(screen, came, mean, creator, now_ts)
        events = self._events(answer, screen, came)
        self._pages += 1
        self._is_over = bool(came.leaves.any())
        self._posts += posts[posts >= 0].tolist()
        self._creators = np.concatenate([self._creators, creator])
        return events

    def _screen(self, posts: Ints, creator: Ints, topic: Ints, now_ts: float) -> Screen:
        k, earlier = len(posts), len(self._creators)
        before = creators_before(np.concatenate([self._creators, creator])[None, :])[:, -k:]
        return Screen(
            users=np.array([self.user]),
            posts=truth_of_served(self._oracle, posts[None, :], creator[None, :], topic[None, :], now_ts),
            is_ad=posts[None, :] == AD,
            now_ts=np.array([now_ts]),
            depth=earlier + np.arange(k)[None, :],
            creator_before=before,
        )

    def _count(self, screen: Screen, came: Visits, mean: Expected, creator: Ints, now_ts: float) -> None:
        """Add a slate to the observed and to the expected sums. The expected terms are means given the slate."""
        config, reached, is_post = self._oracle.world.config, came.reached[0], ~screen.is_ad[0]
        is_first, may_go_on = float(self._pages == 0), self._pages + 1 < config.max_slates
        is_new = is_post & self._is_new(creator, now_ts)
        end = np.flatnonzero(came.leaves[0])
        at_ad = float(len(end) > 0 and bool(screen.is_ad[0, end[0]]))
        stays = float(not len(end))
        pairs = {
            "slates": (is_first + may_go_on * stays, is_first + may_go_on * float(mean.stays[0])),
            "clicks": (float(came.clicked[0][reached].sum()), float(mean.clicks[0])),
            "dwell_s": (float(came.dwell_s[0][reached].sum()), float(mean.dwell_s[0])),
            "ended_by_ad": (at_ad, float(mean.ended_by_ad[0])),
        }
        for name, (observed, expected) in pairs.items():
            _add(self._observed, name, observed, is_first)
            _add(self._expected, name, expected, is_first)
        _add(self._observed, "new_creators", float(is_new[reached].sum()), float(is_post[reached].sum()))
        there = mean.reached[0]
        _add(self._expected, "new_creators", float(there[is_new].sum()), float(there[is_post].sum()))

    def _is_new(self, creator: Ints, now_ts: float) -> Bools:
        """bool[n]: whether each creator is new. A creator that the world does not contain counts as new."""
        joined = self._oracle.world.creators.joined_ts
        last_ts = joined[np.clip(creator, 0, len(joined) - 1)]
        return (creator >= len(joined)) | (now_ts - last_ts < NEW_CREATOR_DAYS * DAY_S)

    def _events(self, answer: Mapping[str, Any], screen: Screen, came: Visits) -> Events:
        impressions, reactions = [], []
        for place in np.flatnonzero(came.reached[0]).tolist():
            item = answer["slate"][place]
            seen = {
                "session_id": self._session_id,
                "slate_id": answer["slate_id"],
                "user_id": self.user,
                "post_id": _or(item["post_id"], -1),
                "creator_id": _or(item["creator_id"], -1),
                "ad_id": _or(item["ad_id"], -1),
                "position": item["position"],
                "depth": int(screen.depth[0, place]),
                "creator_before": int(screen.creator_before[0, place]),
                "policy": answer["policy"],
                "propensity": item["propensity"],
                "request_ts": answer["request_ts"],
            }
            impressions.append(seen)
            reactions.append(
                {
                    **seen,
                    "clicked": bool(came.clicked[0, place]),
                    "liked": bool(came.liked[0, place]),
                    "commented": bool(came.commented[0, place]),
                    "dwell_s": round(float(came.dwell_s[0, place]), 3),
                    "left": bool(came.leaves[0, place]),
                }
            )
        return {"impressions": impressions, "reactions": reactions}


def _column(slate: Sequence[Mapping[str, Any]], name: str, absent: int) -> Ints:
    return np.array([_or(item[name], absent) for item in slate], np.int64)


def _or(value: int | None, absent: int) -> int:
    return absent if value is None else value


def _add(sums: dict[str, tuple[float, float]], name: str, above: float, below: float) -> None:
    old = sums[name]
    sums[name] = (old[0] + above, old[1] + below)
