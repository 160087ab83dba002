"""Step `train`: fit the wide-and-deep model, distil a student, calibrate both, and register all as one version.

The step also trains a naive model that ignores slots in the loss and in its counts, to measure the cost of position
bias. A killed training resumes from its checkpoints; the step deletes them at the end.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx

from ctr_prediction.config import CtrConfig
from ctr_prediction.domain import SLOTS, Floats
from ctr_prediction.model.artifact import STUDENT, Model, sigmoid
from ctr_prediction.model.inputs import DEEP, NUMERIC, WIDE, Priors
from ctr_prediction.offline.calibrate import fit_curve
from ctr_prediction.offline.distil import distil, student_of
from ctr_prediction.offline.networks.loop import Fit, Plan, fit
from ctr_prediction.offline.networks.spec import rows_of, shape_of, share_of
from ctr_prediction.offline.networks.wide_deep import WideDeep
from ctr_prediction.offline.samples import Sample, read_priors
from infra.build.runner import Facts, StepContext
from infra.progress import Progress
from infra.registry.manifest import write_manifest
from infra.registry.mlflow_registry import MlflowRegistry
from infra.training.networks import keep_compiled
from infra.training.onnx_graph import export

NETWORK_RATE, TABLE_RATE, L2 = 0.001, 0.3, 2e-4
"""chosen on the same data as the spreads in `networks.spec`"""
AT_ONCE = 8192
"""rows per chunk of `logits`"""
UNSEEN = 0.5
"""pairs that the log never had, for the student, against those that it had"""
MOST_TAUGHT = 1_000_000
"""pairs of the log that the student learns from; their inputs and the teacher's answers are in memory at once"""


def fit_and_register(context: StepContext) -> Facts:
    """Write the bundle (networks, tables and a manifest) and `registered.json`."""
    config: CtrConfig = context.config
    seed, shape = config.world.seed, shape_of(config)
    keep_compiled(context.settings.home)
    checkpoints = context.settings.design_root(context.design.name) / "checkpoints" / context.out.stem
    sample, later = (Sample.read(context.inputs["sample"] / f"{name}.npz") for name in ("train", "calibration"))
    priors = read_priors(context.inputs["sample"])

    def part(name: str, first: float, last: float) -> Progress:
        return lambda share, text: context.report(first + (last - first) * share, f"{name}, {text}")

    fits = {
        name: fit(
            shape,
            WideDeep(shape, hidden_of(config), SLOTS, 0.02, seed, use_position=name == "debiased"),
            rows_of(sample, config, priors[name]),
            plan_of(config, checkpoints / name),
            part(name, first, last),
        )
        for name, first, last in (("debiased", 0.02, 0.35), ("undebiased", 0.35, 0.65))
    }
    models = {name: model_of(found, config, priors[name]) for name, found in fits.items()}
    context.report(0.66, "distilling the student")
    lesson = at_most(sample, MOST_TAUGHT, seed)
    pairs = lesson, unseen_pairs(lesson, seed)
    x = np.concatenate([inputs_of(models["debiased"], rows) for rows in pairs])
    taught = distil(x, logits(fits["debiased"], x), config.model.student_hidden, seed, part("student", 0.66, 0.8))

    context.report(0.82, "exporting to ONNX")
    bundle = context.out / "bundle"
    bundle.mkdir()
    student = student_of(taught.model, x[:4096])
    student.write(bundle / STUDENT)
    functions = {
        "student": (taught.model.logit, taught.model.nodes),
        "teacher": (network_of(fits["debiased"].model), fits["debiased"].model.nodes),
        "naive": (network_of(fits["undebiased"].model), fits["undebiased"].model.nodes),
    }
    of_model = {"student": "debiased", "teacher": "debiased", "naive": "undebiased"}
    predict: dict[str, Callable[[Floats], Floats]] = {
        "student": student,
        "teacher": partial(logits, fits["debiased"]),
        "naive": partial(logits, fits["undebiased"]),
    }
    curves = {}
    for name, (function, nodes) in functions.items():
        export(function, nodes, bundle / f"{name}.onnx", x[:256])
        model = models[of_model[name]]
        predicted = model.examination[later.slot] * sigmoid(predict[name](inputs_of(model, later)))
        curves[name] = asdict(fit_curve(config.calibration.calibration, predicted, later.clicked, later.weight))
    for name, model in models.items():
        tables: dict[str, Any] = {table: model.tables[table] for table in (*DEEP, *WIDE)}
        np.savez(bundle / f"{name}.npz", **tables)
    meta: dict[str, Any] = {
        "numeric": list(NUMERIC),
        "tables": [*DEEP, *WIDE],
        "inputs": int(x.shape[1]),
        "priors": {name: asdict(found) for name, found in priors.items()},
        "examination": {name: [round(float(look), 6) for look in model.examination] for name, model in models.items()},
        "curves": curves,
        "negative_rate": share_of(config),
        "cross_bits": config.model.cross_bits,
        "user_cross": config.model.user_cross,
    }
    write_manifest(bundle, meta)

    context.report(0.95, "registering in MLflow")
    losses = {f"{name}_loss": found.losses[-1] for name, found in fits.items()} | {"student_loss": taught.losses[-1]}
    params = {**asdict(config.sample), **asdict(config.model), **asdict(config.calibration), "seed": seed}
    version = MlflowRegistry(context.settings).register(context.model_name, bundle, params=params, metrics=losses)
    (context.out / "registered.json").write_text(
        json.dumps({"name": version.name, "version": version.version, "digest": version.digest})
    )
    shutil.rmtree(checkpoints, ignore_errors=True)
    return {"version": version.version, "impressions": len(sample), "loss": round(fits["debiased"].losses[-1], 4)}


def hidden_of(config: CtrConfig) -> tuple[int, int]:
    return config.model.hidden, config.model.hidden // 2


def plan_of(config: CtrConfig, checkpoints: Path | None = None) -> Plan:
    return Plan(
        config.model.epochs,
        config.model.batch,
        NETWORK_RATE,
        TABLE_RATE,
        L2,
        share_of(config),
        config.world.seed,
        checkpoints,
    )


def model_of(found: Fit, config: CtrConfig, priors: Priors) -> Model:
    """The tables and the examination of a fit, as serving reads them."""
    examination = np.exp(np.asarray(_log_examination(found.model), np.float32))
    return Model(found.tables, examination, priors, config.model.cross_bits, config.model.user_cross)


_log_examination = nnx.jit(WideDeep.log_examination)


def inputs_of(model: Model, sample: Sample) -> Floats:
    """float32[n, inputs]: the inputs of the impressions of `sample`."""
    return model.inputs_of(sample.user_id, sample.users, sample.ad_id, sample.ads, sample.context, sample.seen)


def network_of(model: WideDeep) -> Callable[[jax.Array], jax.Array]:
    """The network as a function of one array whose last column is the wide sum."""
    return lambda x: model.logit(x[:, :-1], x[:, -1])


def logits(found: Fit, x: Floats) -> Floats:
    """float32[n]: log-odds, computed in chunks: the widest layer for all rows would need too much memory.

    The last chunk is padded, so XLA compiles the network once for any number of rows.
    """
    structure, weights = nnx.split(found.model)
    padded = np.zeros((-(-len(x) // AT_ONCE) * AT_ONCE, x.shape[1]), np.float32)
    padded[: len(x)] = x
    parts = [_logits(structure, weights, part) for part in padded.reshape(-1, AT_ONCE, x.shape[1])]
    return np.concatenate(jax.device_get(parts))[: len(x)]


@partial(jax.jit, static_argnums=0)
def _logits(structure: Any, weights: nnx.State, x: jax.Array) -> jax.Array:
    return network_of(nnx.merge(structure, weights))(x)


def at_most(sample: Sample, rows: int, seed: int) -> Sample:
    """`sample`, or `rows` of it, chosen at random."""
    if len(sample) <= rows:
        return sample
    return sample.take(np.sort(np.random.default_rng([seed, 6]).choice(len(sample), rows, replace=False)))


def unseen_pairs(sample: Sample, seed: int) -> Sample:
    """Random pairs of the sample's users and ads, mostly pairs without an impression."""
    rng = np.random.default_rng([seed, 5])
    users, ads = (rng.integers(0, len(sample), int(UNSEEN * len(sample))) for _ in range(2))
    one, other = sample.take(users), sample.take(ads)
    return Sample(**vars(one) | {"ads": other.ads, "ad_id": other.ad_id, "seen": np.zeros_like(one.seen)})
