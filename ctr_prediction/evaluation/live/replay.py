"""`lab replay ctr_prediction`: repeats every logged auction and compares the results bit for bit.

The replay uses the logged model version, the logged features and the same batch, because a network's rounding may
depend on the batch size. The network must return the logged probabilities, and bids and seed must give the logged
winners and prices. A clean replay shows that the log contains everything that determines an auction and its prices.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ctr_prediction.config import CtrConfig
from ctr_prediction.design import DESIGN
from ctr_prediction.domain import RANDOM_POLICY, Array, Context, Floats
from ctr_prediction.evaluation.live.recompute import catalogue_of, not_recomputable
from ctr_prediction.events.codec import unpack, user_from_lists
from ctr_prediction.events.cuts import live_root
from ctr_prediction.events.history import PublicCatalogue
from ctr_prediction.events.paths import PREDICTIONS
from ctr_prediction.events.schemas import Auction
from ctr_prediction.features.views import default_user
from ctr_prediction.model.ad_inputs import AdSide, inputs, seen_of
from ctr_prediction.model.artifact import Bundle, load_bundle
from ctr_prediction.model.auction import run_auction
from ctr_prediction.model.inputs import AD_NUMBERS, person_numbers
from ctr_prediction.model.split_layer import StudentSide
from ctr_prediction.model.student import Student
from infra.columns import DAY_S, HOUR_S
from infra.design import with_known_knobs
from infra.prediction_log.reader import PredictionLog
from infra.prediction_log.replay import differing_fields, replay_log
from infra.prediction_log.results import Replayed, Since
from infra.prediction_log.versions import Bundles
from infra.progress import Progress
from infra.registry.release import read_release
from infra.settings import Settings

MISSING = ("student_unavailable", "teacher_unavailable", "naive_model_unavailable", "naive_unavailable")


def replay(settings: Settings, since: Since, limit: int, report: Progress) -> Replayed:
    """Replay auctions (`infra.prediction_log.results`). Raises `UsageError` if the log is empty."""
    root, base = settings.design_root(DESIGN.name), DESIGN.configuration(settings.preset)
    log = PredictionLog(live_root(settings) / PREDICTIONS, Auction, since, limit)
    catalogue = catalogue_of(settings)

    def skip_reason(auction: Auction) -> str:
        return not_recomputable(auction, catalogue) or was_missing(auction)

    def moved(auction: Auction, bundle: Bundle) -> dict[str, str]:
        return differences_of(auction, bundle, with_known_knobs(base, auction.knobs), catalogue)

    return replay_log(log, Bundles(settings, read_release(root), load_bundle), skip_reason, moved, report)


def was_missing(auction: Auction) -> str:
    """The name of the network that was unavailable for the scores, or the empty string."""
    return next((reason for reason in auction.degraded if reason in MISSING), "")


def differences_of(auction: Auction, bundle: Bundle, config: CtrConfig, catalogue: PublicCatalogue) -> dict[str, str]:
    """Field -> description of the difference, for every field that differs."""
    ads = unpack(auction.ads, "<i4").astype(np.int64)
    is_naive = config.predict.position == "naive"
    p = scores_again(auction, bundle, config, catalogue)
    held = run_auction(
        unpack(auction.scores, "<f4"),
        bids_of(auction, ads, catalogue),
        (bundle.undebiased if is_naive else bundle.debiased).examination,
        auction.slots,
        config.auction.reserve_cpm / 1000,
        config.auction.pricing,
        auction.seed,
        uniform=auction.policy == RANDOM_POLICY,
    )
    logged: dict[str, npt.NDArray[Any]] = {
        "scores": unpack(auction.scores, "<f4"),
        "chosen": np.asarray(auction.chosen, np.int64),
        "prices": np.asarray(auction.prices, np.float64),
        "propensity": np.asarray(auction.propensity, np.float64),
    }
    again: dict[str, npt.NDArray[Any]] = {
        "scores": p,
        "chosen": held.chosen,
        "prices": held.price,
        "propensity": held.propensity,
    }
    return differing_fields(logged, again)


def scores_again(auction: Auction, bundle: Bundle, config: CtrConfig, catalogue: PublicCatalogue) -> Floats:
    """float32[n]: p(click) in the first slot of every bidder, computed as in serving."""
    ads = unpack(auction.ads, "<i4").astype(np.int64)
    if not len(ads):
        return np.empty(0, np.float32)
    network = "naive" if config.predict.position == "naive" else config.predict.model
    model = bundle.undebiased if network == "naive" else bundle.debiased
    public = catalogue.ads.iloc[ads]
    campaign, creative = (public[name].to_numpy(np.int64) for name in ("campaign_id", "creative_id"))
    side = AdSide.of(model, ads, campaign, creative, unpack(auction.numbers, "<f4", len(AD_NUMBERS)))
    user, at_ts = user_from_lists(auction.features, default_user()), auction.request_ts
    if isinstance(bundle.student, Student) and network == "student":
        student, segment = StudentSide.of(bundle.student, model, side), int(user.segment[0])
        of_user = student.of_user(auction.user_id, user, person_numbers(user, model.priors)[0])
        of_place = student.of_place(segment, auction.publisher_id, auction.device, int(at_ts % DAY_S // HOUR_S))
        rows = np.arange(len(ads))
        z = bundle.student.of_sums(student.sums(rows, auction.user_id, segment, of_user, of_place, at_ts))
    else:
        context = Context.one(auction.publisher_id, auction.device, at_ts)
        seen = seen_of(user, ads, len(catalogue.ads))
        x = inputs(model, side, np.arange(len(ads)), auction.user_id, user, context, seen)
        z = getattr(bundle, network)(x)
    return bundle.p_click(network, z, 0, config.predict.calibrated)


def bids_of(auction: Auction, ads: npt.NDArray[np.int64], catalogue: PublicCatalogue) -> Array:
    """float64[n]: the campaigns' bids, or the bids in the request."""
    campaign = catalogue.ads["campaign_id"].to_numpy(np.int64)[ads]
    bids: Array = catalogue.campaigns["bid"].to_numpy(np.float64)[campaign]
    for place, ad in enumerate(ads.tolist() if auction.bids else []):
        bids[place] = auction.bids.get(str(ad), bids[place])
    return bids
