"""Stage 1, target: selects the ads whose campaigns target the user's segment, a few hundred."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ctr_prediction.domain import RANDOM_POLICY, AdQuery, Ints
from ctr_prediction.items.catalog import Market
from ctr_prediction.model.auction import drawn_below
from infra.pipeline.candidates import Candidates


@dataclass(frozen=True)
class TargetingSource:
    """Fetches the retargeting ads of shops that the user has visited, then the ads that target the segment, ordered by
    bid × observed click rate. If the request lists candidates, fetches exactly those."""

    market: Market
    name: str = "targeting"

    def fetch(self, query: AdQuery) -> Ints:
        if query.candidates is not None:
            return query.candidates
        eligible: Sequence[Ints] = query.view.eligible
        segment = int(query.user.segment[0])
        ads = eligible[segment] if 0 <= segment < len(eligible) else eligible[0]
        mine = query.user.audience[0]
        if query.policy == RANDOM_POLICY:  # the randomised bucket also needs a random pool
            ads = np.random.default_rng([query.seed, 2]).permutation(ads)
        if mine[0] < 0:
            return ads[: query.target.eligible_limit]
        mine = mine[(mine >= 0) & (mine < len(self.market.snapshot.start_ts))]
        mine = mine[self.market.snapshot.start_ts[mine] <= query.now_ts]
        return np.concatenate([mine, ads[~np.isin(ads, mine)]])[: query.target.eligible_limit]


@dataclass(frozen=True)
class BudgetFilter:
    """Removes ads of campaigns that have spent today's budget, and of campaigns that skip this auction for pacing."""

    market: Market
    name: str = "budget"

    def keep(self, query: AdQuery, candidates: Candidates) -> npt.NDArray[np.bool_] | None:
        view = query.view
        if view.is_free:
            return None
        campaign = self.market.snapshot.campaign.take(candidates.ids)
        if query.auction.pacing == "none":
            found: npt.NDArray[np.bool_] = ~view.is_spent[campaign]
            return found
        return drawn_below(view.pace.take(campaign), campaign, query.seed)


@dataclass(frozen=True)
class FrequencyCapFilter:
    """Removes ads that have reached the user's daily frequency cap."""

    name: str = "frequency_cap"

    def keep(self, query: AdQuery, candidates: Candidates) -> npt.NDArray[np.bool_] | None:
        if query.known is not None and query.known.most_today < query.auction.frequency_cap:
            return None
        capped = query.user.seen_ads[0][query.user.seen_today[0] >= query.auction.frequency_cap]
        return np.isin(candidates.ids, capped, invert=True)


@dataclass(frozen=True)
class ExcludeFilter:
    """Removes the ads that the request excludes, such as ads that are already on the page."""

    name: str = "excluded"

    def keep(self, query: AdQuery, candidates: Candidates) -> npt.NDArray[np.bool_] | None:
        if not query.exclude:
            return None
        return np.isin(candidates.ids, query.exclude, invert=True)
