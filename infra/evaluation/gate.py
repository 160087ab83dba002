"""The release gate: compares a challenger with a simple baseline and with the champion before it is served.

Both comparisons are differences in loss on the same rows, each with a 95% interval over groups of rows. By default, the
loss is the log loss of clicks, and the baseline a constant click rate.

The rows come from the end of the history. If the live log has rows that no model learns from, mostly those of the
randomised bucket, the same two models are compared on these *fresh* rows first: a world that has changed makes the old
rows misleading. A sure difference there decides. Without one, the rows of the history do, with a margin. If an
undecided comparison were a refusal, a challenger that equals the champion could never pass: after minutes of traffic,
the bucket has some hundred rows.

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
FEWEST_FRESH = 30
"""groups of fresh rows without which they are not compared"""


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
    `baseline` are the predictions of `baseline_name`, None for the mean of `actual`. `where` says what fresh rows are.
    """

    actual: Array
    groups: npt.NDArray[np.int64]
    predict: Callable[[Path, str], Array]
    more_rows: str
    loss: Callable[[Array, Array], Array] = log_loss_rows
    measure: str = "log loss"
    baseline: Array | None = None
    baseline_name: str = "a constant click rate"
    where: str = "fresh rows of the randomised bucket"


def judge_challenger(
    registered: Mapping[str, Any],
    comparison: Comparison,
    p: Array,
    registry: MlflowRegistry,
    models: Path,
    record: Record,
    fresh: tuple[Comparison, Array] | None = None,
) -> str:
    """Set the alias challenger on the `registered` model, and check the gate. The end of the build makes a model that
    passes the champion, or begins its rollout (`infra.build.current`).

    `p` are the challenger's predictions; `models` is the directory for fetched models. `fresh` are fresh rows with the
    challenger's predictions. Returns a short text with the verdict, which the registry keeps too; `record` adds it to
    the timeline. Raises `GateRefused` (exit code 3) if the model fails the gate; the champion then stays.
    """
    name, version = registered["name"], registered["version"]
    registry.set_alias(name, "challenger", version)
    try:
        verdict = check_gate(comparison, p, registry.by_alias(name, "champion"), registry, models, fresh)
    except GateRefused as refused:
        registry.set_verdict(name, version, f"refused: {refused}")
        record("gate", f"model version {version} is refused: {refused}", version=version)
        raise
    registry.set_verdict(name, version, f"passed: {verdict}")
    record("gate", f"model version {version} passes: {verdict}", version=version)
    return verdict


def check_gate(
    comparison: Comparison,
    p: Array,
    champion: ModelVersion | None,
    registry: MlflowRegistry,
    models: Path,
    fresh: tuple[Comparison, Array] | None = None,
) -> str:
    """Return the reason why a challenger with predictions `p` passes. Raises `GateRefused` if it is not significantly
    better than the baseline, or is significantly worse than the champion on fresh rows, or on those of the history by
    more than `NEGLIGIBLE` of its gain."""
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
        path = registry.fetch(champion, models)
        if fresh and (low_high := _on_fresh_rows(*fresh, path, champion.digest)):
            return _decided(low_high, fresh[0], champion)
        before = comparison.loss(actual, comparison.predict(path, champion.digest))
    except (CorruptArtifact, ValueError, IndexError, KeyError) as exc:
        return f"the champion cannot be compared ({type(exc).__name__}); better than {comparison.baseline_name}"
    low, high = resample.spread(loss - before, ones)
    if low > NEGLIGIBLE * max(0.0, float((of_baseline - before).mean())):
        raise GateRefused(
            f"worse than champion {champion.version}: {comparison.measure} differs by {low:+.5f} to {high:+.5f}",
            hint="the champion keeps serving; check what changed in the data or the configuration",
        )
    return f"not worse than champion {champion.version} ({low:+.5f} to {high:+.5f})"


def _on_fresh_rows(rows: Comparison, p: Array, path: Path, digest: str) -> tuple[float, float] | None:
    """The 95% interval of challenger minus champion in mean loss, or None if it contains 0 or there are few rows."""
    resample = Resample.of(rows.groups)
    if resample.count < FEWEST_FRESH:
        return None
    difference = rows.loss(rows.actual, p) - rows.loss(rows.actual, rows.predict(path, digest))
    low, high = resample.spread(difference, np.ones(len(difference)))
    return (low, high) if low > 0 or high < 0 else None


def _decided(low_high: tuple[float, float], rows: Comparison, champion: ModelVersion) -> str:
    """The verdict of a sure difference on fresh rows. Raises `GateRefused` if the challenger is worse."""
    low, high = low_high
    on = f"than champion {champion.version} on {len(rows.actual):,} {rows.where}"
    differs = f"{rows.measure} differs by {low:+.5f} to {high:+.5f}"
    if low > 0:
        raise GateRefused(f"worse {on}: {differs}", hint="the champion keeps serving; the new data made it worse")
    return f"better {on}: {differs}"
