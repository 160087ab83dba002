"""`lab skew ctr_prediction`: compares served features with the features that training would join.

Training uses features from a point-in-time join. Serving uses features that a worker computes, pushes and caches. If
the two differ (training-serving skew), predictions degrade and no other check detects it. For a sample of the logged
auctions, this module recomputes the features offline, as of their logged times, and compares them with the served ones:
the user's features and the numbers of every bidder.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt

from ctr_prediction.design import DESIGN
from ctr_prediction.domain import UserFeatures
from ctr_prediction.evaluation.live.recompute import FeatureRecount, in_order, not_recomputable
from ctr_prediction.events.codec import unpack, user_from_lists
from ctr_prediction.events.schemas import Auction
from ctr_prediction.features.views import default_user
from ctr_prediction.model.artifact import Bundle, load_bundle
from ctr_prediction.model.inputs import AD_NUMBERS
from infra.prediction_log.parity import Skew, compare
from infra.prediction_log.reader import PredictionLog
from infra.prediction_log.results import Compared, Since
from infra.prediction_log.versions import Bundles, VersionGone
from infra.progress import Progress
from infra.registry.release import read_release
from infra.settings import Settings

CHOICE = 7
"""seed of the sample of auctions, so two runs compare the same auctions"""


def skew(settings: Settings, since: Since, limit: int, report: Progress) -> Compared:
    """Compare features (`infra.prediction_log.results`). Raises `UsageError` if the log is empty."""
    root = settings.design_root(DESIGN.name)
    log = PredictionLog(root / "live" / "predictions", Auction, since, limit, seed=CHOICE)
    release, left_out = read_release(root), Counter[str]()
    known = FeatureRecount.read(settings, DESIGN.configuration(settings.preset))
    bundles = Bundles(settings, release, load_bundle)
    usable: list[tuple[Auction, Bundle]] = []
    for auction in log:
        try:
            if reason := not_recomputable(auction, known.catalogue):
                left_out[reason] += 1
            else:
                usable.append((auction, bundles.of(auction)))
        except VersionGone as exc:
            left_out[str(exc)] += 1
    auctions = [auction for auction, _ in usable]
    report(0.1, f"{len(auctions)} auctions")
    users = known.users(auctions)
    report(0.5, "user features")
    served_numbers, numbers = [], []
    for number, (auction, bundle) in enumerate(usable):
        ads = unpack(auction.ads, "<i4").astype(np.int64)
        served_numbers.append(unpack(auction.numbers, "<f4", len(AD_NUMBERS)))
        model = bundle.undebiased if auction.knobs.get("position") == "naive" else bundle.debiased
        numbers.append(known.ad_numbers(ads, auction.stats_ts, model.priors))
        report(0.5 + 0.5 * (number + 1) / len(usable), f"{number + 1} of {len(usable)} auctions")
    found: list[Skew] = []
    if usable:
        default = default_user()
        served = [user_from_lists(auction.features, default) for auction in auctions]
        left, right = columns_of_users(served, users)
        found += compare(left, right)
        sides = (dict(zip(AD_NUMBERS, np.concatenate(parts).T, strict=True)) for parts in (served_numbers, numbers))
        found += compare(*sides)
    found.sort(key=lambda one: -one.share)
    return Compared(len(log), len(usable), len(fields(UserFeatures)) + len(AD_NUMBERS), found, dict(left_out))


def columns_of_users(
    served: Sequence[UserFeatures], again: Sequence[UserFeatures]
) -> tuple[dict[str, npt.NDArray[Any]], dict[str, npt.NDArray[Any]]]:
    """`user.<field>` -> [m, ...], for the served and the recomputed features, with lists of equal length."""
    width = max(user.seen_ads.shape[1] for user in (*served, *again))
    audience = max(user.audience.shape[1] for user in (*served, *again))
    sides = []
    for users in (served, again):
        ordered = [in_order(user, width) for user in users]
        names = [item.name for item in fields(UserFeatures)]
        rows = {name: [_padded(getattr(user, name), name, audience) for user in ordered] for name in names}
        sides.append({f"user.{name}": np.concatenate(found) for name, found in rows.items()})
    return sides[0], sides[1]


def _padded(values: npt.NDArray[Any], name: str, width: int) -> npt.NDArray[Any]:
    if name != "audience":
        return values
    return np.pad(values, ((0, 0), (0, width - values.shape[1])), constant_values=-1)
