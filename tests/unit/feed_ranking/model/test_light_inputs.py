"""The inputs of the light ranker are the same whether they are computed alone or with all inputs."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from feed_ranking.features.views import default_user
from feed_ranking.model.inputs import (
    CUT_NAMES,
    LIGHT_NAMES,
    LightPosts,
    light_inputs,
    light_side,
    post_inputs,
    ranker_inputs,
    ranker_names,
    side_names,
)
from tests.support.feed_parts import PRIORS, TOPICS, many

NAMES = ranker_names(TOPICS)


@given(seed=st.integers(0, 10_000), posts=st.integers(1, 20), is_known=st.booleans())
@settings(deadline=None, max_examples=60)
def test_light_inputs_are_columns_of_the_ranker_inputs_to_the_last_bit(seed: int, posts: int, is_known: bool) -> None:
    """Serving computes them alone, training takes them from all inputs."""
    viewers, shown, score, context, _ = many(seed, 1, posts)
    user = viewers if is_known else default_user(TOPICS)
    item_side = post_inputs(shown, PRIORS)
    whole = ranker_inputs(user, shown, item_side, score, context, PRIORS)
    side = light_side(shown.stats, item_side, TOPICS)
    light = light_inputs(
        user, LightPosts(shown.creator_id, shown.topic, shown.published_ts, side), score, context, PRIORS
    )
    np.testing.assert_array_equal(light, whole[:, [NAMES.index(name) for name in LIGHT_NAMES]])
    for name in CUT_NAMES:
        np.testing.assert_array_equal(side[:, side_names(TOPICS).index(name)], whole[:, NAMES.index(name)])
