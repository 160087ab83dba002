"""Ad models trained on the log of a small world with known click probabilities, once per test run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ctr_prediction.config import SMOKE, ModelConfig, SampleConfig
from ctr_prediction.domain import RANDOM_POLICY, SLOTS, AdFeatures, Array, Context, Floats, Ints, UserFeatures
from ctr_prediction.events.history import EventLog, PublicCatalogue
from ctr_prediction.features.aggregates import activity_at, ad_stats_at, campaigns_of
from ctr_prediction.model.calibration import in_the_sample
from ctr_prediction.model.inputs import Priors
from ctr_prediction.offline.generate import write_catalogue
from ctr_prediction.offline.networks.loop import Fit, fit
from ctr_prediction.offline.networks.spec import rows_of, shape_of
from ctr_prediction.offline.networks.wide_deep import WideDeep
from ctr_prediction.offline.samples import Sample
from ctr_prediction.offline.train import hidden_of, inputs_of, logits, model_of, plan_of
from ctr_prediction.world.oracle import Context as TrueContext
from ctr_prediction.world.oracle import Oracle
from ctr_prediction.world.truth import World, make_world
from infra.columns import seconds
from infra.simulation.streams import start_ts
from infra.training.click_metrics import excess_log_loss_rows, log_loss_rows
from tests.support import ctr_log
from tests.support.ctr_log import log_days

SHARE, UNSEEN_SHARE = 0.25, 0.15
CONFIG = replace(
    SMOKE,
    world=replace(
        ctr_log.CONFIG,
        randomised_share=0.15,
        policy_noise=0.15,
        bid_spread=1.0,  # high bids win the top slots regardless of relevance
        latent_size=2,  # few latent dimensions, so that the few segments of a small world can reveal them
        latent_click=0.8,
        targeted_segments=10,
    ),
    sample=SampleConfig(negative_share=SHARE),
    model=ModelConfig(cross_bits=16, hidden=32, batch=1024),
)
PRIORS = Priors(0.05, (1.0, 0.5, 0.25, 0.125))


@cache
def world() -> World:
    return make_world(CONFIG.world)


@cache
def days() -> list[pa.Table]:
    """The log of the world, one table per day."""
    return [table for _, table in log_days(world())]


@cache
def unseen() -> npt.NDArray[np.bool_]:
    """bool[segments, creatives]: pairs that are excluded from the training rows."""
    shape = (CONFIG.world.segments, CONFIG.world.creatives)
    found: npt.NDArray[np.bool_] = np.random.default_rng(8).random(shape) < UNSEEN_SHARE
    return found


@dataclass(frozen=True)
class Split:
    """Training and test rows. `train` holds all clicks and the share `SHARE` of the other rows, from all days but the
    last, without the unseen pairs. `later` holds all rows of the last day."""

    train: Sample
    later: Sample
    is_random: npt.NDArray[np.bool_]
    """Rows of `later` that the random policy served."""

    @cached_property
    def p_click(self) -> Array:
        """True click probability of the rows of `later` in their slots."""
        return true_p(self.later, self.later.slot)

    @cached_property
    def relevance(self) -> Array:
        """True p(click | examined) of the rows of `later`."""
        return true_p(self.later, np.zeros_like(self.later.slot))


def true_p(sample: Sample, slot: Ints) -> Array:
    page = sample.context
    context = TrueContext(page.publisher, page.device, page.at_ts, sample.seen)
    return Oracle(world()).p_click(sample.user_id, sample.ad_id, context, slot)


@cache
def split() -> Split:
    """Split the log by day. Counts of users and ads are as of the preceding midnight."""
    config, rng = CONFIG.world, np.random.default_rng(3)
    tables = days()
    with TemporaryDirectory() as directory:
        write_catalogue(world(), Path(directory))
        known = PublicCatalogue.read(Path(directory))
    everything = pa.concat_tables([table.append_column("seen_ts", table["request_ts"]) for table in tables])
    log = EventLog.of(everything, known)
    samples = [sample_of(table, log, known, start_ts(config, day), day * 10**6) for day, table in enumerate(tables)]
    train = []
    for sample in samples[:-1]:
        is_unseen = unseen()[sample.users.segment, sample.ads.creative]
        kept = ~is_unseen & ((sample.clicked > 0) | (rng.random(len(sample)) < SHARE))
        train.append(sample.take(np.flatnonzero(kept)))
    return Split(joined(train), samples[-1], np.asarray(tables[-1]["policy"].to_numpy() == RANDOM_POLICY))


def sample_of(table: pa.Table, log: EventLog, known: PublicCatalogue, midnight: float, first_id: int) -> Sample:
    """Return the impressions of one day with the features as of its midnight."""
    column = {name: np.asarray(table[name].to_numpy()) for name in table.column_names if name != "policy"}
    user, ad, campaign = (column[name].astype(np.int64) for name in ("user_id", "ad_id", "campaign_id"))
    people, truth = world().people, world()
    shown, clicks = np.zeros((CONFIG.world.users, SLOTS), np.float32), np.zeros(CONFIG.world.users, np.float32)
    activity = activity_at(log, CONFIG, midnight)
    active = activity["user_id"].to_numpy()
    if len(active):
        shown[active], clicks[active] = np.stack(activity["shown"].to_numpy()), activity["clicks"].to_numpy()
    none = np.full((len(user), 1), -1)
    of_ads = ad_stats_at(log, known, CONFIG, midnight)
    of_campaigns = campaigns_of(of_ads, known)
    at_s = seconds(column["request_ts"])
    return Sample(
        users=UserFeatures(
            segment=people.segment[user],
            age=people.age[user],
            gender=people.gender[user],
            audience=truth.retargeting.ads[user],
            shown=shown[user],
            clicks=clicks[user],
            seen_ads=none,
            seen_counts=none + 1,
            seen_today=none + 1,
        ),
        ads=AdFeatures(
            campaign,
            column["creative_id"].astype(np.int64),
            *(counts[ad] for counts in of_ads),
            *(counts[campaign] for counts in of_campaigns),
        ),
        context=Context(column["publisher_id"].astype(np.int64), column["device"].astype(np.int64), at_s),
        impression_id=column["impression_id"].astype(np.int64),
        request_id=first_id
        + np.unique(np.stack([user, (at_s * 1000).astype(np.int64)]), axis=1, return_inverse=True)[1],
        user_id=user,
        ad_id=ad,
        slot=column["slot"].astype(np.int64),
        seen=column["seen"].astype(np.int64),
        clicked=column["clicked"].astype(np.float32),
        weight=np.ones(len(user), np.float32),
    )


def joined(samples: Sequence[Sample]) -> Sample:
    def together(values: Sequence[Any]) -> Any:
        if not is_dataclass(values[0]):
            return np.concatenate(values)
        kind: Any = type(values[0])
        return kind(*(together([getattr(one, item.name) for one in values]) for item in fields(kind)))

    found: Sample = together(samples)
    return found


@dataclass(frozen=True)
class Learned:
    """A fit and its predictions for `later`.

    `z` float64[n] is the log-odds of p(click | examined), and `p` float64[n] the click probability in the row's slot.
    `fitted` float64[m] is the log loss of each training row.
    """

    fit: Fit
    examination: Floats
    z: Array
    p: Array
    fitted: Array

    @property
    def excess(self) -> Array:
        return excess_log_loss_rows(split().p_click, self.p)


@cache
def learned(
    *,
    use_position: bool = True,
    use_wide: bool = True,
    use_deep: bool = True,
    user_cross: str = "audience",
    use_retargeting: bool = True,
    small_batches: bool = False,
) -> Learned:
    """Train a model as the step `train` does, optionally without a part of the network.

    `use_retargeting=False` hides the retargeting input. `small_batches` trains with smaller batches for more epochs:
    this log has a third of SMALL's rows, so the default training ends before the model learns rare values.
    """
    config = replace(CONFIG, model=replace(CONFIG.model, user_cross=user_cross))
    if small_batches:
        config = replace(config, model=replace(config.model, batch=256, epochs=3))
    shape, parts = shape_of(config), split()
    network = WideDeep(
        shape, hidden_of(config), SLOTS, 0.05, config.world.seed,
        use_wide=use_wide, use_deep=use_deep, use_position=use_position,
    )  # fmt: skip
    rows = rows_of(parts.train, config, PRIORS)
    if not use_retargeting:
        rows["retargeted"] = np.zeros_like(rows["retargeted"])
    found = fit(shape, network, rows, plan_of(config))
    if not use_retargeting:
        found.tables["retargeted"] = np.zeros((2, 1), np.float32) + found.tables["retargeted"][0]
    model = model_of(found, config, PRIORS)
    z, z_train = (logits(found, inputs_of(model, sample)).astype(np.float64) for sample in (parts.later, parts.train))
    p_later, p_train = (
        model.examination[sample.slot] / (1 + np.exp(-of)) for sample, of in ((parts.later, z), (parts.train, z_train))
    )
    return Learned(
        found,
        model.examination,
        z,
        p_later,
        log_loss_rows(parts.train.clicked.astype(np.float64), in_the_sample(p_train, SHARE).astype(np.float64)),
    )
