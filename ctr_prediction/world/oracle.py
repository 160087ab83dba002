"""The oracle: the true probability of a click, and the true relevance p(click | examined).

It conditions on the true parameters of the world and on facts observable at request time, never on noise that is drawn
later.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctr_prediction.domain import Array, Ints
from ctr_prediction.world.clicks import age_logit, hour_logit, sigmoid, wear_out_logit
from ctr_prediction.world.examination import examination
from ctr_prediction.world.truth import World


@dataclass(frozen=True)
class Context:
    """Context of an impression: `publisher` and `device` int64, `at_ts` float64 seconds since the epoch, `seen` int64:
    number of earlier impressions of the ad by the user. All broadcast with users and ads."""

    publisher: Ints
    device: Ints
    at_ts: Array
    seen: Ints


@dataclass(frozen=True)
class Oracle:
    """The true probabilities of one world."""

    world: World

    def relevance(self, users: Ints, ads: Ints, context: Context) -> Array:
        """p(click | examined). `users` and `ads` broadcast with the context."""
        world, config = self.world, self.world.config
        people, segment = world.people, world.people.segment[users]
        logit = (
            config.click_bias
            + config.latent_click * world.affinity.fit(segment, world.ads.creative[ads], context.at_ts)
            + config.cross_click * world.crosses[segment, ads]
            + config.retargeted_click * world.retargeting.is_retargeted(users, ads)
            + world.publishers.leaning[context.publisher]
            + world.ads.leaning[ads]
            + people.leaning[users]
            + age_logit(config, people.age[users])
            + np.asarray(config.device_click)[context.device]
            + hour_logit(config, segment, context.at_ts)
            + wear_out_logit(config, context.seen)
        )
        return sigmoid(logit)

    def p_click(self, users: Ints, ads: Ints, context: Context, slot: Ints) -> Array:
        """p(click) of an ad in `slot` (from 0), examined or not."""
        return examination(self.world.config, slot) * self.relevance(users, ads, context)
