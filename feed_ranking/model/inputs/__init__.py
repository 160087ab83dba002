"""What the networks read: every input of towers and rankers, computed once for training and serving.

Skew between training and serving has one usual cause: the same feature computed twice. Here each input exists once,
on arrays; training passes many users, serving passes one. The families have a file each: `users`, `posts` (and their
creators), `pairs` (a user and a post, in a context); `networks` puts them together.
"""

from feed_ranking.model.inputs.networks import (
    LIGHT_NAMES,
    post_tower_inputs,
    ranker_inputs,
    ranker_names,
    user_tower_inputs,
)
from feed_ranking.model.inputs.pairs import Context
from feed_ranking.model.inputs.posts import creator_names, item_names, post_inputs, post_names
from feed_ranking.model.inputs.smoothing import Priors, priors_from
from feed_ranking.model.inputs.users import user_inputs, user_names

__all__ = [
    "LIGHT_NAMES",
    "Context",
    "Priors",
    "creator_names",
    "item_names",
    "post_inputs",
    "post_names",
    "post_tower_inputs",
    "priors_from",
    "ranker_inputs",
    "ranker_names",
    "user_inputs",
    "user_names",
    "user_tower_inputs",
]
