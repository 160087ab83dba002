"""The release gate: compares a challenger with a simple baseline and with the champion before it is served.

Both comparisons are differences in loss on the same rows, each with a 95% interval over groups of rows. By default, the
loss is the log loss of clicks, and the baseline a constant click rate.

Paired differences find the rounding of another compiler or processor significant. The challenger is therefore refused
only if the interval shows that it loses more than `NEGLIGIBLE` of the champion's gain over the baseline.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from infra.errors import BudgetBroken, CorruptArtifact
from infra.evaluation.resample import Resample
from infra.registry.mlflow_registry import MlflowRegistry
from infra.registry.port import ModelVersion
from infra.telemetry.timeline import Kind
from infra.training.click_metrics import Array, log_loss_rows

NEGLIGIBLE = 0.001
"""share of the champion's gain over the baseline that a challenger may lose"""


class GateRefused(BudgetBroken):
    """The challenger did not pass the gate. The champion stays in service."""


class Record(Protocol):
    """Appends an event to the timeline of a design."""

    def __call__(self, kind: Kind, text: str, **facts: Any) -> None: ...


@dataclass(frozen=True)
class Comparison:
    """The rows for comparing models: `actual` float64[n], such as clicks in {0, 1}, and `groups` int64[n] with the
    group of each row.

    `predict(path, digest)` loads a registered model and returns its predictions for the same rows. `more_rows` names
    the knob that increases the training set. `loss(actual, predictions)` float64[n] is called `measure` in texts.
    `baseline` are the predictions of `baseline_name`, None for the mean of `actual`.
    """

    actual: Array
    groups: npt.NDArray[np.int64]
    predict: Callable[[Path, str], Array]
    more_rows: str
    loss: Callable[[Array, Array], Array] = log_loss_rows
    measure: str = "log loss"
    baseline: Array | None = None
    baseline_name: str = "a constant click rate"


def promote(
    registered: Mapping[str, Any],
    comparison: Comparison,
    p: Array,
    registry: MlflowRegistry,
    models: Path,
    record: Record,
) -> str:
    """Set the alias challenger on the `registered` model, check the gate, and set the alias champion on it.

    `p` are the challenger's predictions; `models` is the directory for fetched models. Returns a short text with the
    verdict, which the registry keeps too; `record` adds it to the timeline. Raises `GateRefused` (exit code 3) if the
    model fails the gate; the champion then stays.
    """
    name, version = registered["name"], registered["version"]
    registry.set_alias(name, "challenger", version)
    try:
        verdict = check_gate(comparison, p, registry.by_alias(name, "champion"), registry, models)
    except GateRefused as refused:
        registry.set_verdict(name, version, f"refused: {refused}")
        record("gate", f"model version {version} is refused: {refused}", version=version)
        raise
    registry.set_verdict(name, version, f"passed: {verdict}")
    registry.set_alias(name, "champion", version)  # last, so that a registry that fails before keeps the old champion
    record("promotion", f"model version {version} is the champion: {verdict}", version=version)
    return verdict


def check_gate(
    comparison: Comparison, p: Array, champion: ModelVersion | None, registry: MlflowRegistry, models: Path
) -> str:
    """Return the reason why a challenger with predictions `p` passes. Raises `GateRefused` if it is not significantly
    better than the baseline, or is significantly worse than the champion by more than `NEGLIGIBLE` of its gain."""
    actual, resample = comparison.actual, Resample.of(comparison.groups)
    loss, ones = comparison.loss(actual, p), np.ones(len(actual))
    baseline = np.full_like(actual, actual.mean()) if comparison.baseline is None else comparison.baseline
    of_baseline = comparison.loss(actual, baseline)
    low, high = resample.spread(loss - of_baseline, ones)
    if high >= 0:
        raise GateRefused(
            f"the model is not better than {comparison.baseline_name}: "
            f"{comparison.measure} differs by {low:+.5f} to {high:+.5f}",
            hint=f"check the training loss; more data (the knob {comparison.more_rows}) or epochs may help",
        )
    if champion is None:
        return f"first model, better than {comparison.baseline_name}"
    try:
        before = comparison.loss(actual, comparison.predict(registry.fetch(champion, models), champion.digest))
    except (CorruptArtifact, ValueError, IndexError, KeyError) as exc:
        return f"the champion cannot be compared ({type(exc).__name__}); better than {comparison.baseline_name}"
    low, high = resample.spread(loss - before, ones)
    if low > NEGLIGIBLE * max(0.0, float((of_baseline - before).mean())):
        raise GateRefused(
            f"worse than champion {champion.version}: {comparison.measure} differs by {low:+.5f} to {high:+.5f}",
            hint="the champion keeps serving; check what changed in the data or the configuration",
        )
    return f"not worse than champion {champion.version} ({low:+.5f} to {high:+.5f})"
