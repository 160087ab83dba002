"""Step `train`: fit the corrected routes, two families of quantile models with and without live traffic, and calibrate.

The network is the mean of one member for each block of days. A member learns from all blocks but its own, which it
predicts for the calibration. The boosters do without the last training days and are calibrated on those. On those days,
the pinball loss also decides which family answers by default. All models are registered as one version.

Live trips teach the corrected routes and the models. They take part in a calibration and in the choice of a family only
if their day is whole: a few live hours are not a sample of a day.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from lightgbm import Booster

from eta_prediction.config import EtaConfig
from eta_prediction.domain import Array, Bools, Ints
from eta_prediction.model.artifact import FAMILIES, TRAFFIC, columns_of, file_of, model_inputs
from eta_prediction.model.corrected_route import CorrectedRoute
from eta_prediction.model.inputs import NAMES, STOPS, TYPE, Floats
from eta_prediction.model.quantiles import pinball_rows, seconds_of
from eta_prediction.offline.quantile_models.boosters import BoosterPlan, fit_boosters, predict_boosters
from eta_prediction.offline.quantile_models.conformal import offsets_by_days, out_of_fold
from eta_prediction.offline.quantile_models.ensemble_onnx import export_boosters
from eta_prediction.offline.quantile_models.fit_corrected_route import fit_corrected_route, route_times
from eta_prediction.offline.quantile_models.quantile_net import (
    QuantileNet,
    fit_net,
    mean_nodes,
    mean_of,
    predict_net,
)
from eta_prediction.offline.samples import TRAIN, Sample
from infra.build.runner import Facts, StepContext
from infra.columns import HOUR_S
from infra.progress import Progress
from infra.registry.manifest import write_manifest
from infra.registry.mlflow_registry import MlflowRegistry
from infra.training.fitting import Plan
from infra.training.networks import keep_compiled
from infra.training.onnx_graph import export
from infra.training.row_mix import repeated

LEARNING_RATE = 5e-3
WHOLE_SHARE = 0.75
"""share of the trips of a usual day with which a live day counts as whole"""
COMPARED = 2_000
"""rows on which an exported model is compared with the fitted one"""
Offsets = dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Task:
    """What the models with one kind of traffic learn from: n trips. `is_whole` bool[n] marks trips of whole days, and
    `is_late` bool[n] those of the last whole days."""

    traffic: str
    x: Floats
    ratio: Array
    base_s: Array
    seconds: Array
    day: Ints
    is_whole: Bools
    is_late: Bools


@dataclass(frozen=True)
class Fitted:
    """One model in its file. `late_loss` is the pinball loss in seconds on the last training days, of predictions by
    models that have not seen these days."""

    offsets: Offsets
    late_loss: float


def fit_and_register(context: StepContext) -> Facts:
    """Write the bundle (models and a manifest) and `registered.json`."""
    config: EtaConfig = context.config
    keep_compiled(context.settings.home)
    sample = Sample.read(context.inputs["sample"] / TRAIN)
    bundle = context.out / "bundle"
    bundle.mkdir()
    routes: dict[str, Any] = {}
    tasks = []
    for traffic in TRAFFIC:
        task, route = task_of(config, sample, traffic)
        tasks.append(task)
        routes[traffic] = route.as_json()
    found: dict[str, Fitted] = {}
    for place, task in enumerate(tasks):
        context.report(0.05 + 0.2 * place, f"boosters, {task.traffic} traffic")
        found[f"boosters_{task.traffic}"] = train_boosters(config, task, bundle)
    for place, task in enumerate(tasks):
        name, first = f"network_{task.traffic}", 0.45 + 0.25 * place
        found[name] = train_network(config, task, bundle, _part(context, name, first, first + 0.25))
    meta = {
        "names": list(NAMES),
        "routes": routes,
        "offsets": {name: fitted.offsets for name, fitted in found.items()},
        "best": best_family(found),
        "loss": config.model.loss,
        "unused": list(unused_inputs(config)),
    }
    write_manifest(bundle, meta)
    context.report(0.95, "registering in MLflow")
    params = {**asdict(config.sample), **asdict(config.model), "seed": config.world.seed}
    losses = {f"{name}_pinball_s": fitted.late_loss for name, fitted in found.items()}
    version = MlflowRegistry(context.settings).register(context.model_name, bundle, params=params, metrics=losses)
    (context.out / "registered.json").write_text(
        json.dumps({"name": version.name, "version": version.version, "digest": version.digest})
    )
    rounded = {name: round(loss, 2) for name, loss in losses.items()}
    return {"version": version.version, "trips": len(sample), "best": best_family(found), **rounded}


def task_of(config: EtaConfig, sample: Sample, traffic: str) -> tuple[Task, CorrectedRoute]:
    """The trips of `sample` as a task, and the corrected route on which its models build. A live trip occurs
    `live_weight` times."""
    is_whole = whole_days(config, sample.day, sample.departure_ts)
    is_late = is_whole & (sample.day > sample.day[is_whole].max() - config.model.calibration_days)
    if np.array_equal(is_late, is_whole):
        is_late = is_whole & (np.cumsum(is_whole) - 1 >= 0.8 * is_whole.sum())
    rows = repeated(sample.day >= config.world.days, config.sample.live_weight, config.world.seed)
    sample, is_whole, is_late = sample.take(rows), is_whole[rows], is_late[rows]
    x = sample.x.copy()
    x[:, [NAMES.index(name) for name in unused_inputs(config)]] = 0.0
    route_s = route_times(x)[traffic]
    route = fit_corrected_route(x, route_s, sample.seconds, config.world.seed)
    base_s = route.seconds(x, route_s)
    ratio = sample.seconds / base_s
    return Task(traffic, model_inputs(traffic, x), ratio, base_s, sample.seconds, sample.day, is_whole, is_late), route


def whole_days(config: EtaConfig, day: Ints, departure_ts: Array) -> Bools:
    """bool[n]: trips of the history, and of live days that resemble a day: hour by hour, they have `WHOLE_SHARE` of the
    trips of a usual day of the history. Many trips of one hour do not stand for the other hours."""
    is_history, hour = day < config.world.days, (departure_ts // HOUR_S % 24).astype(np.int64)
    if is_history.all() or not is_history.any():
        return np.ones(len(day), np.bool_)
    count = np.bincount(24 * day + hour, minlength=24 * (int(day.max()) + 1)).reshape(-1, 24)
    usual = count[np.unique(day[is_history])].mean(0)
    found: Bools = is_history | (np.minimum(count, usual).sum(1) >= WHOLE_SHARE * usual.sum())[day]
    return found


def unused_inputs(config: EtaConfig) -> tuple[str, ...]:
    """The inputs that the knobs take away from the models."""
    of_type = TYPE if config.model.per_type == "no" else ()
    return of_type + (STOPS if config.model.turn_inputs == "no" else ())


def train_boosters(config: EtaConfig, task: Task, bundle: Path) -> Fitted:
    """Fit without the last days, export, and calibrate on those. They are few, so all kinds of calibration use them."""
    boosters, late = fit_early_boosters(config, task), np.flatnonzero(task.is_late)
    file = bundle / file_of(f"boosters_{task.traffic}")
    export_boosters(boosters, task.x.shape[1], file, task.x[:COMPARED])
    ratios = predict_boosters(boosters, task.x[late])
    offsets = offsets_by_days(ratios, task.ratio[late], task.day[late])
    return Fitted(dict(offsets), _loss(task, late, ratios, offsets))


def fit_early_boosters(config: EtaConfig, task: Task) -> list[Booster]:
    """The boosters of `train_boosters`: one for each level. The same task yields the same trees."""
    plan = BoosterPlan(config.model.rounds, config.model.leaves, config.world.seed)
    early = np.flatnonzero(~task.is_late)
    return fit_boosters(task.x[early], task.ratio[early], plan)


def train_network(config: EtaConfig, task: Task, bundle: Path, report: Progress) -> Fitted:
    """Fit without each block of days, calibrate on the predictions of these blocks, and export the mean of the fits."""
    model, hidden = config.model, (config.model.hidden, config.model.hidden // 2)
    unused = [columns_of(task.traffic).index(name) for name in unused_inputs(config)]
    members: list[QuantileNet] = []

    def predicted(train: Ints, test: Ints, block: int) -> Floats:
        plan = Plan(model.epochs, model.batch, LEARNING_RATE, config.world.seed + block)
        found = fit_net(
            task.x[train], task.ratio[train], model.loss, hidden, plan,
            lambda share, text: report((block + share) / model.folds, text), unused,
        )  # fmt: skip
        members.append(found.model)
        return predict_net(found.model, task.x[test])

    unseen = out_of_fold(task.day, model.folds, predicted)
    file = bundle / file_of(f"network_{task.traffic}")
    export(mean_of(members), lambda graph, x: mean_nodes(members, graph, x), file, task.x[:COMPARED])
    whole, late = np.flatnonzero(task.is_whole), np.flatnonzero(task.is_late)
    offsets = offsets_by_days(unseen[whole], task.ratio[whole], task.day[whole])
    return Fitted(dict(offsets), _loss(task, late, unseen[late], offsets))


def best_family(found: Mapping[str, Fitted]) -> str:
    """The family with the lower pinball loss on the last training days, with live traffic."""
    return min(FAMILIES, key=lambda family: found[f"{family}_live"].late_loss)


def _loss(task: Task, rows: Ints, ratios: Floats, offsets: Mapping[str, tuple[float, float]]) -> float:
    quantiles = seconds_of(ratios, task.base_s[rows], offsets["all_days"])
    return float(pinball_rows(task.seconds[rows], quantiles).mean())


def _part(context: StepContext, name: str, first: float, last: float) -> Progress:
    return lambda share, text: context.report(first + (last - first) * share, f"{name}, {text}")
