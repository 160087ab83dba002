"""The generated world as one value in memory. The configuration and its seed determine it."""

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
    """All true parameters of one configuration."""

    config: WorldConfig
    people: People
    creators: Creators
    graph: Graph
    posts: Posts
    bursts: Bursts


def make_world(config: WorldConfig) -> World:
    """Generate the world. Takes about a second for the preset `small`."""
    people, creators = make_people(config), make_creators(config)
    posts = make_posts(config, creators)
    return World(config, people, creators, make_graph(config, people, creators), posts, make_bursts(config, posts))
