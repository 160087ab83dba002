"""Measures the effect of a weight per pair of user and ad, for users in a retargeting audience and for all others.

Only pairs of a user and an advertiser that the user has visited contain information. Every other pair has a few
impressions, mostly without a click, and its weight fits noise: training loss falls, and predictions of the next day get
worse. The feature "this user has visited this ad's shop" contains the same information as a weight per pair, and
generalises to pairs outside the log.

The study trains the model five times, so it is not a build step. `python -m
ctr_prediction.evaluation.studies.user_cross` reads the samples of the last build and prints its figures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import jax.numpy as jnp
import numpy as np

from ctr_prediction.config import PRESETS, CtrConfig
from ctr_prediction.design import DESIGN
from ctr_prediction.domain import SLOTS
from ctr_prediction.evaluation.gate import truth_in
from ctr_prediction.model.artifact import sigmoid
from ctr_prediction.model.calibration import in_the_sample
from ctr_prediction.model.inputs import Priors, in_audience
from ctr_prediction.offline.networks.loop import fit
from ctr_prediction.offline.networks.spec import rows_of, shape_of
from ctr_prediction.offline.networks.wide_deep import WideDeep
from ctr_prediction.offline.samples import Sample, read_priors
from ctr_prediction.offline.train import hidden_of, inputs_of, model_of, network_of, plan_of
from infra.build.fingerprints import step_paths
from infra.evaluation.figures import Figure
from infra.evaluation.resample import Resample
from infra.settings import Settings
from infra.training.click_metrics import Array, excess_log_loss_rows, log_loss_rows

SETTINGS = {
    "all": ("all", True),
    "audience": ("audience", True),
    "none": ("none", True),
    "audience, without the input": ("audience", False),
    "none, without the input": ("none", False),
}
"""users with user × ad crosses, and whether the model has the retargeting input"""


def overfit_of_user_cross(
    train: Sample, holdout: Sample, p_click: Array, config: CtrConfig, priors: Priors
) -> list[Figure]:
    """Figures, as shares of the avoidable log loss of these impressions, except the training loss.

    `p_click` float64[n] is the true p(click) of each holdout impression in its shown slot.
    """
    predicted = {name: _predictions(train, holdout, *how, config, priors) for name, how in SETTINGS.items()}
    inside = in_audience(holdout.users)
    constant = excess_log_loss_rows(p_click, np.full_like(p_click, p_click.mean()))
    excess = {name: excess_log_loss_rows(p_click, p["holdout"]) for name, p in predicted.items()}
    by_request = Resample.of(holdout.request_id)

    def lost(id: str, text: str, one: str, other: str, is_inside: bool) -> Figure:
        rows = inside == is_inside
        return by_request.among(rows).ratio(id, text, (excess[one] - excess[other])[rows], constant[rows])

    learned = {name: log_loss_rows(train.clicked.astype(np.float64), p["train"]) for name, p in predicted.items()}
    outside = ~in_audience(train.users)
    fitted = (learned["audience"] - learned["all"])[outside]
    return [
        Resample.of(train.request_id).among(outside).ratio(
            "user_cross_fits_outside",
            "decrease of the training loss by user × ad crosses for all users, outside the audience",
            fitted,
            learned["audience"][outside],
        ),
        lost(
            "user_cross_costs_outside",
            "increase of the next day's log loss by user × ad crosses for all users, outside the audience",
            "all",
            "audience",
            is_inside=False,
        ),
        lost(
            "user_cross_earns_untold",
            "decrease of the log loss inside the audience by its user × ad crosses, without the retargeting input",
            "none, without the input",
            "audience, without the input",
            is_inside=True,
        ),
        lost(
            "retargeted_earns_inside",
            "decrease of the log loss by the retargeting input, inside the audience",
            "none, without the input",
            "none",
            is_inside=True,
        ),
        lost(
            "user_cross_earns_told",
            "further decrease of the log loss by the audience's user × ad crosses, with the retargeting input",
            "none",
            "audience",
            is_inside=True,
        ),
    ]  # fmt: skip


def _predictions(
    train: Sample, holdout: Sample, user_cross: str, has_retargeting: bool, config: CtrConfig, priors: Priors
) -> Mapping[str, Array]:
    """float64[n]: p(click) of the holdout in the shown slots, and the probability in the training sample."""
    turned = replace(config, model=replace(config.model, user_cross=user_cross))
    rows = rows_of(train, turned, priors)
    if not has_retargeting:
        rows["retargeted"] = np.zeros_like(rows["retargeted"])
    network = WideDeep(shape_of(turned), hidden_of(turned), SLOTS, 0.02, turned.world.seed)
    found = fit(shape_of(turned), network, rows, plan_of(turned))
    if not has_retargeting:
        found.tables["retargeted"] = np.repeat(found.tables["retargeted"][:1], 2, axis=0)
    model, function = model_of(found, turned, priors), network_of(found.model)

    def p_click(sample: Sample) -> Array:
        parts = np.array_split(inputs_of(model, sample), max(len(sample) // 20_000, 1))
        z = np.concatenate([np.asarray(function(jnp.asarray(part))) for part in parts])
        return np.asarray(model.examination[sample.slot] * sigmoid(z), np.float64)

    share = turned.sample.negative_share
    return {"holdout": p_click(holdout), "train": np.asarray(in_the_sample(p_click(train), share), np.float64)}


def main() -> None:
    settings, config = Settings(), PRESETS[Settings().preset]
    paths = step_paths(DESIGN, settings)
    if not paths["sample"].exists():
        raise SystemExit("nothing is built yet; run: lab build ctr_prediction")
    train, holdout = (Sample.read(paths["sample"] / f"{name}.npz") for name in ("train", "holdout"))
    priors = read_priors(paths["sample"])["debiased"]
    truth = truth_in(config, holdout)
    for figure in overfit_of_user_cross(train, holdout, truth.p_click, config, priors):
        print(f"{figure.id}: {figure.value:.4f} [{figure.low:.4f} to {figure.high:.4f}] {figure.description}")


if __name__ == "__main__":
    main()
