"""Step `baselines`: train the models that the wide-and-deep model is compared with, on the same impressions.

Logistic regression and gradient-boosted trees (LightGBM) read the same numbers and ids, the retargeting cross, and the
slot. They learn the sample's probabilities, which are then recalibrated. Wide only and deep only are the model itself
without the other part.
"""

from __future__ import annotations

from typing import Any

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from ctr_prediction.config import CtrConfig
from ctr_prediction.domain import SLOTS, Floats
from ctr_prediction.model.artifact import sigmoid
from ctr_prediction.model.calibration import recalibrated
from ctr_prediction.model.inputs import Priors
from ctr_prediction.offline.networks.loop import fit
from ctr_prediction.offline.networks.spec import rows_of, shape_of
from ctr_prediction.offline.networks.wide_deep import WideDeep
from ctr_prediction.offline.samples import Sample, read_priors
from ctr_prediction.offline.train import hidden_of, inputs_of, logits, model_of, plan_of
from infra.build.runner import Facts, StepContext

IDS = ("segment", "publisher", "device", "slot", "ad", "campaign", "creative")
BASELINES = ("lr", "lightgbm", "wide_only", "deep_only")
JUDGED = ("holdout", "bucket")
RIDGE, MOST_STEPS = 0.02, 300
TREES = 150
ROWS_PER_THREAD = 100_000
"""LightGBM's threads wait for each other in busy loops: on fewer rows, two threads use ten times the CPU time of one"""
BOOSTED = {
    "num_leaves": 15,
    "learning_rate": 0.1,
    "min_data_per_group": 50,
    "cat_l2": 50.0,
    "cat_smooth": 100.0,
}
"""Settings of both, chosen once by the log loss of SMALL's calibration day, like the settings of the model. A gain over
an untuned baseline would mean little."""


def write_baselines(context: StepContext) -> Facts:
    """Write `baselines.npz`: p(click) as shown, float32[n], of each baseline for the holdout and for the bucket."""
    config: CtrConfig = context.config
    path = context.inputs["sample"]
    train, *judged = (Sample.read(path / f"{name}.npz") for name in ("train", *JUDGED))
    priors = read_priors(path)["debiased"]
    makers = {
        "lr": lambda: logistic(train, judged, config, priors),
        "lightgbm": lambda: boosted(train, judged, config, priors),
        "wide_only": lambda: part_of_the_model(train, judged, config, priors, use_deep=False),
        "deep_only": lambda: part_of_the_model(train, judged, config, priors, use_wide=False),
    }
    found: dict[str, Any] = {}
    for number, (name, make) in enumerate(makers.items()):
        found |= {f"{where}.{name}": p for where, p in zip(JUDGED, make(), strict=True)}
        context.report((number + 1) / len(makers), name)
    np.savez(context.out / "baselines.npz", **found)
    return {"baselines": len(makers)}


def logistic(train: Sample, judged: list[Sample], config: CtrConfig, priors: Priors) -> list[Floats]:
    """Predictions of logistic regression on the numbers and one-hot ids, float32[n] per judged sample."""
    sizes = id_sizes(config)

    def columns(sample: Sample) -> sparse.csr_matrix:
        numbers = numbers_of(sample, config, priors)
        ids = ids_of(sample)
        offset = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        place = ids + offset
        ones = sparse.csr_matrix(
            (np.ones(place.size, np.float32), place.ravel(), np.arange(0, place.size + 1, place.shape[1])),
            shape=(len(ids), int(sum(sizes))),
        )
        return sparse.hstack([sparse.csr_matrix(numbers), ones], format="csr")

    model = LogisticRegression(max_iter=MOST_STEPS, C=RIDGE).fit(columns(train), train.clicked)
    return [_population_rates(model.predict_proba(columns(sample))[:, 1], config) for sample in judged]


def boosted(train: Sample, judged: list[Sample], config: CtrConfig, priors: Priors) -> list[Floats]:
    def columns(sample: Sample) -> npt.NDArray[np.float32]:
        numbers = numbers_of(sample, config, priors)
        return np.concatenate([numbers, ids_of(sample).astype(np.float32)], axis=1)

    x = columns(train)
    categorical = list(range(x.shape[1] - len(IDS), x.shape[1]))
    options = {**BOOSTED, "objective": "binary", "verbosity": -1}
    options |= {"num_threads": 1 if len(x) < ROWS_PER_THREAD else 2, "seed": config.world.seed, "deterministic": True}
    data = lgb.Dataset(x, train.clicked, categorical_feature=categorical, free_raw_data=True)
    booster = lgb.train(options, data, TREES)
    return [_population_rates(np.asarray(booster.predict(columns(sample))), config) for sample in judged]


def part_of_the_model(
    train: Sample, judged: list[Sample], config: CtrConfig, priors: Priors, *, use_wide: bool = True,
    use_deep: bool = True,
) -> list[Floats]:  # fmt: skip
    """Predictions of the wide-and-deep model trained without its wide or deep part, float32[n] per judged sample."""
    network = WideDeep(
        shape_of(config), hidden_of(config), SLOTS, 0.02, config.world.seed, use_wide=use_wide, use_deep=use_deep
    )
    found = fit(shape_of(config), network, rows_of(train, config, priors), plan_of(config))
    model = model_of(found, config, priors)
    return [model.examination[one.slot] * sigmoid(logits(found, inputs_of(model, one))) for one in judged]


def numbers_of(sample: Sample, config: CtrConfig, priors: Priors) -> Floats:
    """float32[n, NUMERIC + 1]: the model's numbers, and the retargeting cross as a number."""
    rows = rows_of(sample, config, priors)
    return np.concatenate([rows["numeric"], rows["retargeted"][:, None]], axis=1, dtype=np.float32)


def ids_of(sample: Sample) -> npt.NDArray[np.int64]:
    """int64[n, IDS]: the ids of each impression."""
    context, ads = sample.context, sample.ads
    columns = (
        sample.users.segment,
        context.publisher,
        context.device,
        sample.slot,
        sample.ad_id,
        ads.campaign,
        ads.creative,
    )
    return np.stack(columns, axis=1)


def id_sizes(config: CtrConfig) -> list[int]:
    world = config.world
    return [world.segments, world.publishers, 3, SLOTS, world.ads, world.campaigns, world.creatives]


def _population_rates(q: npt.NDArray[np.floating[Any]], config: CtrConfig) -> Floats:
    return np.asarray(recalibrated(q, config.sample.negative_share), np.float32)
