"""The world as one value, made from the seed alone, in memory."""

from __future__ import annotations

from dataclasses import dataclass

from feed_ranking.config import WorldConfig
from feed_ranking.world.bursts import Bursts, make_bursts
from feed_ranking.world.creators import Creators, make_creators
from feed_ranking.world.graph import Graph, make_graph
from feed_ranking.world.posts import Posts, make_posts
from feed_ranking.world.tastes import People, make_people


@dataclass(frozen=True)
class World:
    """The planted truth of one configuration."""

    config: WorldConfig
    people: People
    creators: Creators
    graph: Graph
    posts: Posts
    bursts: Bursts


def make_world(config: WorldConfig) -> World:
    """About a second for the preset `small`."""
    people, creators = make_people(config), make_creators(config)
    posts = make_posts(config, creators)
    return World(config, people, creators, make_graph(config, people, creators), posts, make_bursts(config, posts))
