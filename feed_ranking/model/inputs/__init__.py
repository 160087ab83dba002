"""The inputs of towers and rankers, computed by the same functions for training and serving.

Training-serving skew usually comes from two implementations of one feature; here each input has one. The functions take
arrays: training passes many users, serving passes one. The modules are `users`, `posts` (with their creators), `pairs`
(a user and a post in a context) and `networks`, which combines them. `light` is the exception: for speed, serving
computes the inputs of the light ranker a second way, and a test compares both ways bit for bit.
"""

from feed_ranking.model.inputs.light import CUT_NAMES, LightPosts, light_inputs, light_side, side_names
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
from feed_ranking.model.inputs.users import topic_table, user_inputs, user_names

__all__ = [
    "CUT_NAMES",
    "LIGHT_NAMES",
    "Context",
    "LightPosts",
    "Priors",
    "creator_names",
    "item_names",
    "light_inputs",
    "light_side",
    "post_inputs",
    "post_names",
    "post_tower_inputs",
    "priors_from",
    "ranker_inputs",
    "ranker_names",
    "side_names",
    "topic_table",
    "user_inputs",
    "user_names",
    "user_tower_inputs",
]
