"""Step `train`: fit the corrected routes, two families of quantile models with and without live traffic, and calibrate.

The network is calibrated over blocks of days: a model that has not seen a block predicts it. The boosters do without
the last training days and are calibrated on those. All models are registered as one version.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np

from eta_prediction.config import EtaConfig
from eta_prediction.domain import Array, Ints
from eta_prediction.model.artifact import TRAFFIC, file_of, model_inputs
from eta_prediction.model.inputs import NAMES, Floats
from eta_prediction.offline.boosters import BoosterPlan, fit_boosters, predict_boosters
from eta_prediction.offline.conformal import offsets_by_days, out_of_fold
from eta_prediction.offline.ensemble_onnx import export_boosters
from eta_prediction.offline.fit_corrected_route import fit_corrected_route, route_times
from eta_prediction.offline.quantile_net import fit_net, predict_net
from eta_prediction.offline.samples import TRAIN, Sample
from infra.build.runner import Facts, StepContext
from infra.progress import Progress
from infra.registry.manifest import write_manifest
from infra.registry.mlflow_registry import MlflowRegistry
from infra.training.fitting import Plan
from infra.training.networks import export, keep_compiled, prepare_export

LEARNING_RATE = 3e-3


def fit_and_register(context: StepContext) -> Facts:
    """Write the bundle (models and a manifest) and `registered.json`."""
    config: EtaConfig = context.config
    keep_compiled(context.settings.home)
    exporter = prepare_export()
    sample = Sample.read(context.inputs["sample"] / TRAIN)
    bundle = context.out / "bundle"
    bundle.mkdir()
    routes, offsets, losses = {}, {}, {}
    times = route_times(sample.x)
    for place, traffic in enumerate(TRAFFIC):
        route = fit_corrected_route(sample.x, times[traffic], sample.seconds, config.world.seed)
        base_s = route.seconds(sample.x, times[traffic])
        x, ratio = model_inputs(traffic, sample.x), sample.seconds / base_s
        routes[traffic] = route.as_json()
        first = 0.02 + 0.45 * place
        context.report(first, f"boosters, {traffic} traffic")
        name = f"boosters_{traffic}"
        offsets[name] = _boosters(config, x, ratio, base_s, sample.day, bundle, name)
        name = f"network_{traffic}"
        exporter.join()
        offsets[name], losses[f"{name}_loss"] = _network(
            config, x, ratio, base_s, sample.day, bundle, name, _part(context, name, first + 0.15, first + 0.45)
        )
    meta: dict[str, Any] = {
        "names": list(NAMES),
        "routes": routes,
        "offsets": offsets,
        "best": "network",
        "loss": config.model.loss,
    }
    write_manifest(bundle, meta)
    context.report(0.95, "registering in MLflow")
    params = {**asdict(config.sample), **asdict(config.model), "seed": config.world.seed}
    version = MlflowRegistry(context.settings).register(context.model_name, bundle, params=params, metrics=losses)
    (context.out / "registered.json").write_text(
        json.dumps({"name": version.name, "version": version.version, "digest": version.digest})
    )
    return {"version": version.version, "trips": len(sample), "loss": round(losses["network_live_loss"], 4)}


def _boosters(
    config: EtaConfig, x: Floats, ratio: Array, base_s: Array, day: Ints, bundle: Any, name: str
) -> dict[str, tuple[float, float]]:
    """Fit, export, and calibrate on the last days. Those days are few, so all kinds of calibration use them."""
    plan = BoosterPlan(config.model.rounds, config.model.leaves, config.world.seed)
    is_late = day > day.max() - config.model.calibration_days
    if is_late.all():
        is_late = np.arange(len(day)) >= len(day) * 0.8
    early, late = np.flatnonzero(~is_late), np.flatnonzero(is_late)
    boosters = fit_boosters(x[early], ratio[early], base_s[early], plan)
    export_boosters(boosters, x.shape[1], bundle / file_of(name), x[:2_000])
    return dict(offsets_by_days(predict_boosters(boosters, x[late]), ratio[late], day[late]))


def _network(
    config: EtaConfig, x: Floats, ratio: Array, base_s: Array, day: Ints, bundle: Any, name: str, report: Progress
) -> tuple[dict[str, tuple[float, float]], float]:
    """Fit once for each block of days and once for all of them; export the last one."""
    model, hidden = config.model, (config.model.hidden, config.model.hidden // 2)
    parts = model.folds + 1

    def fitted(rows: Ints, part: int) -> Any:
        plan = Plan(model.epochs, model.batch, LEARNING_RATE, config.world.seed + part)
        return fit_net(
            x[rows], ratio[rows], base_s[rows], model.loss, hidden, plan,
            lambda share, text: report((part + share) / parts, text),
        )  # fmt: skip

    unseen = out_of_fold(day, model.folds, lambda train, test, block: predict_net(fitted(train, block).model, x[test]))
    found = fitted(np.arange(len(day)), model.folds)
    export(found.model.__call__, x.shape[1], bundle / file_of(name), x[:2_000])
    return dict(offsets_by_days(unseen, ratio, day)), found.losses[-1]


def _part(context: StepContext, name: str, first: float, last: float) -> Progress:
    return lambda share, text: context.report(first + (last - first) * share, f"{name}, {text}")
