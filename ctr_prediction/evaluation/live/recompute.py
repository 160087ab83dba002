"""Recomputes features as of any time from the history and the live log, with the functions of training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from ctr_prediction.config import CtrConfig
from ctr_prediction.design import DESIGN
from ctr_prediction.domain import AdFeatures, Floats, Ints, UserFeatures
from ctr_prediction.events.codec import unpack
from ctr_prediction.events.cuts import live_root
from ctr_prediction.events.history import EventLog, PublicCatalogue, event_log
from ctr_prediction.events.schemas import Auction
from ctr_prediction.features.aggregates import activity_at, ad_stats_at, campaigns_of, exposure_at
from ctr_prediction.features.views import default_user, users_from_frame
from ctr_prediction.model.inputs import Priors, ad_numbers
from infra.registry.release import CURRENT
from infra.settings import Settings


def catalogue_of(settings: Settings) -> PublicCatalogue:
    """The public catalogue of the served build."""
    return PublicCatalogue.read(_world(settings))


def _world(settings: Settings) -> Path:
    return Path(json.loads((settings.design_root(DESIGN.name) / CURRENT).read_text())["world"])


@dataclass(frozen=True)
class FeatureRecount:
    """The events of the history and the live log, from which features as of any time are recomputed."""

    log: EventLog
    catalogue: PublicCatalogue
    config: CtrConfig
    numbers: dict[tuple[float, Priors], Floats]
    """cache: (time, priors) -> float32[ads, AD_NUMBERS]"""

    @classmethod
    def read(cls, settings: Settings, config: CtrConfig) -> FeatureRecount:
        """Read the history of the served build and the whole live log."""
        catalogue = catalogue_of(settings)
        return cls(event_log(_world(settings), live_root(settings), catalogue), catalogue, config, {})

    def users(self, auctions: Sequence[Auction]) -> list[UserFeatures]:
        """The user features of each auction as of `feature_ts`; 0 means the defaults of the user's segment."""
        users = []
        for auction in auctions:
            user, t = auction.user_id, auction.feature_ts
            if t == 0:
                segment = int(self.catalogue.people["segment"][user]) if user < len(self.catalogue.people) else 0
                users.append(default_user(segment))
            else:
                users.append(self._user(user, t))
        return users

    def _user(self, user: int, t: float) -> UserFeatures:
        one = np.array([user], np.int64)
        mine = self.log.of_users(one)
        frame = self.catalogue.people.iloc[[user]].set_index("user_id")
        for table in (activity_at(mine, self.config, t), exposure_at(mine, self.config, t)):
            counted = table.to_pandas().drop(columns=["feature_ts"]).set_index("user_id")
            frame = frame.join(counted)
        frame["shown"] = [value if np.ndim(value) else default_user().shown[0] for value in frame["shown"]]
        return users_from_frame(pd.DataFrame(frame), default_user())

    def ad_numbers(self, ads: Ints, t: float, priors: Priors) -> Floats:
        """float32[n, AD_NUMBERS] of `ads` int64[n] as of `t`. Computed for all ads at once, like in serving, because
        rounding of a sum may depend on the number of rows."""
        if (t, priors) not in self.numbers:
            campaign, creative = (
                self.catalogue.ads[name].to_numpy(np.int64) for name in ("campaign_id", "creative_id")
            )
            of_ads = ad_stats_at(self.log, self.catalogue, self.config, t)
            of_campaigns = campaigns_of(of_ads, self.catalogue)
            counted = AdFeatures(campaign, creative, *of_ads, *(counts[campaign] for counts in of_campaigns))
            self.numbers[t, priors] = ad_numbers(counted, priors)
        return self.numbers[t, priors][ads]


def not_recomputable(auction: Auction, catalogue: PublicCatalogue) -> str:
    """The reason why an auction cannot be recomputed, or the empty string."""
    ads = unpack(auction.ads, "<i4")
    return "" if ((ads >= 0) & (ads < len(catalogue.ads))).all() else "an ad of the auction is not in the catalogue"


def in_order(user: UserFeatures, width: int) -> UserFeatures:
    """The same user with the seen ads sorted by id and padded to `width`. The store orders them by recency, and the
    order of ties is arbitrary."""
    order = np.argsort(user.seen_ads[0], kind="stable")
    short = ((0, 0), (max(width - len(order), 0), 0))
    columns = {
        name: np.pad(getattr(user, name)[:, order], short, constant_values=-1 if name == "seen_ads" else 0)
        for name in ("seen_ads", "seen_counts", "seen_today")
    }
    return replace(user, **columns)
