"""`lab replay ctr_prediction`: repeats every logged auction and compares the results bit for bit.

The replay uses the logged model version, the logged features and the same batch, because a network's rounding may
depend on the batch size. The network must return the logged probabilities, and bids and seed must give the logged
winners and prices. A clean replay shows that the log contains everything that determines an auction and its prices.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ctr_prediction.config import CtrConfig
from ctr_prediction.design import DESIGN
from ctr_prediction.domain import RANDOM_POLICY, Array, Context, Floats
from ctr_prediction.evaluation.recompute import cannot_tell, catalogue_of
from ctr_prediction.events.codec import unpack, user_from_lists
from ctr_prediction.events.history import PublicCatalogue
from ctr_prediction.events.schemas import Auction
from ctr_prediction.features.views import default_user
from ctr_prediction.model.ad_inputs import AdSide, inputs, seen_of
from ctr_prediction.model.artifact import Bundle, load_bundle
from ctr_prediction.model.auction import run_auction
from ctr_prediction.model.inputs import AD_NUMBERS, person_numbers
from ctr_prediction.model.split_layer import StudentSide
from ctr_prediction.model.student import Student
from infra.columns import DAY_S, HOUR_S
from infra.design import knobs_of, with_knobs
from infra.evaluation.experiment import Report
from infra.prediction_log.reader import PredictionLog
from infra.prediction_log.results import Difference, Replayed, Since
from infra.prediction_log.versions import Bundles, VersionGone
from infra.registry.release import read_release
from infra.settings import Settings

MISSING = ("student_unavailable", "teacher_unavailable", "naive_model_unavailable", "naive_unavailable")


def replay(settings: Settings, since: Since, limit: int, report: Report) -> Replayed:
    """Replay up to `limit` auctions; `infra.prediction_log.results` documents the result. Raises `UsageError` if the
    log is empty."""
    root = settings.design_root(DESIGN.name)
    log = PredictionLog(root / "live" / "predictions", Auction, since, limit)
    bundles, base = Bundles(settings, read_release(root), load_bundle), DESIGN.configuration(settings.preset)
    catalogue = catalogue_of(settings)
    left_out: Counter[str] = Counter()
    models: Counter[str] = Counter()
    differences: list[Difference] = []
    for number, auction in enumerate(log):
        report((number + 1) / len(log), f"{number + 1} of {len(log)} auctions")
        try:
            if reason := cannot_tell(auction, catalogue) or was_missing(auction):
                left_out[reason] += 1
                continue
            bundle = bundles.of(auction)
        except VersionGone as exc:
            left_out[str(exc)] += 1
            continue
        models[auction.model_version] += 1
        differences += [
            Difference(auction.event_id, name, how)
            for name, how in differences_of(auction, bundle, turned(base, auction.knobs), catalogue).items()
        ]
    differing = len({found.prediction for found in differences})
    return Replayed(len(log), sum(models.values()), differing, differences, dict(left_out), dict(models))


def was_missing(auction: Auction) -> str:
    """The unavailable network that should have computed the scores, or the empty string."""
    return next((reason for reason in auction.degraded if reason in MISSING), "")


def turned(config: CtrConfig, knobs: Mapping[str, Any]) -> CtrConfig:
    """The preset, with the values of the request's knobs."""
    known = {knob.name for knob in knobs_of(config)}
    found: CtrConfig = with_knobs(config, {name: value for name, value in knobs.items() if name in known})
    return found


def differences_of(auction: Auction, bundle: Bundle, config: CtrConfig, catalogue: PublicCatalogue) -> dict[str, str]:
    """Field -> description of the difference, for every field that differs."""
    ads = unpack(auction.ads, "<i4").astype(np.int64)
    is_naive = config.predict.position == "naive"
    p = scores_again(auction, bundle, config, catalogue)
    held = run_auction(
        unpack(auction.scores, "<f4"),
        bids_of(auction, ads, catalogue),
        (bundle.undebiased if is_naive else bundle.debiased).looks,
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
    return {name: how for name in logged if (how := difference(logged[name], again[name]))}


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
    return bundle.p_first(network, z, config.predict.calibrated)


def bids_of(auction: Auction, ads: npt.NDArray[np.int64], catalogue: PublicCatalogue) -> Array:
    """float64[n]: the campaigns' bids, or the bids in the request."""
    campaign = catalogue.ads["campaign_id"].to_numpy(np.int64)[ads]
    bids: Array = catalogue.campaigns["bid"].to_numpy(np.float64)[campaign]
    for place, ad in enumerate(ads.tolist() if auction.bids else []):
        bids[place] = auction.bids.get(str(ad), bids[place])
    return bids


def difference(logged: npt.NDArray[Any], again: npt.NDArray[Any]) -> str:
    """Description of how two arrays differ bit for bit; the empty string if they are equal."""
    if logged.shape != again.shape:
        return f"{len(logged)} were logged, {len(again)} came out"
    moved = logged != again
    if not moved.any():
        return ""
    gap = np.abs(logged.astype(np.float64) - again.astype(np.float64)).max()
    return f"{int(moved.sum())} of {moved.size} moved, by at most {gap:.3g}"
