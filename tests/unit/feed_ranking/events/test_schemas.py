"""Copies of a feed event have one id, and conflicting posts with one id stay in order."""

from __future__ import annotations

from dataclasses import replace

from feed_ranking.events.schemas import PostPublished
from infra.stream.event import Codec, encode

POST = PostPublished(2**50, 3, 2, 1, 0.5, -0.5, 1e9)


def test_posts_with_one_id_are_on_one_partition() -> None:
    """Otherwise two consumers could read them in different orders, and keep different ones."""
    other = replace(POST, creator_id=4, topic=1, published_ts=2e9)
    sent, again = encode("topic", POST), encode("topic", other)
    assert (sent.key, sent.event_id) == (again.key, again.event_id)
    assert sent.key != encode("topic", replace(POST, post_id=7)).key
    assert Codec.of(PostPublished).read(sent.value) == (sent.event_id, POST)
