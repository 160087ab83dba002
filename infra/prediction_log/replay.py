"""Replay of a prediction log: every prediction is made again by the model version that made it, and compared.

A design supplies what it can say of one prediction; this module goes through the log, counts, and collects differences.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from infra.prediction_log.reader import PredictionLog
from infra.prediction_log.results import Difference, Replayed
from infra.prediction_log.versions import Bundles, Made, VersionGone
from infra.progress import Progress


class Logged(Made, Protocol):
    """A logged prediction: its id, and which model made it."""

    @property
    def event_id(self) -> str: ...


P = TypeVar("P", bound=Logged)
B = TypeVar("B")


def replay_log(
    log: PredictionLog[P],
    bundles: Bundles[B],
    why_not: Callable[[P], str],
    differences_of: Callable[[P, B], Mapping[str, str]],
    progress: Progress,
) -> Replayed:
    """Make every prediction of `log` again.

    `why_not` returns why a prediction cannot be made again, or an empty text. `differences_of` returns field -> how the
    field differs, for the fields that come out otherwise.
    """
    left_out, models = Counter[str](), Counter[str]()
    differences: list[Difference] = []
    for number, prediction in enumerate(log):
        progress((number + 1) / len(log), f"{number + 1} of {len(log)} predictions")
        try:
            if reason := why_not(prediction):
                left_out[reason] += 1
                continue
            bundle = bundles.of(prediction)
        except VersionGone as exc:
            left_out[str(exc)] += 1
            continue
        models[prediction.model_version] += 1
        found = differences_of(prediction, bundle)
        differences += [Difference(prediction.event_id, name, how) for name, how in found.items()]
    differing = len({found.prediction for found in differences})
    return Replayed(len(log), sum(models.values()), differing, differences, dict(left_out), dict(models))


def differing_fields(logged: Mapping[str, npt.NDArray[Any]], again: Mapping[str, npt.NDArray[Any]]) -> dict[str, str]:
    """Field -> how it differs, for the fields of `logged` that come out otherwise."""
    return {name: how for name in logged if (how := difference(logged[name], again[name]))}


def difference(logged: npt.NDArray[Any], again: npt.NDArray[Any]) -> str:
    """How two arrays differ that must be equal bit for bit; an empty text where they are equal."""
    if logged.shape != again.shape:
        return f"{len(logged)} were logged, {len(again)} came out"
    moved = logged != again
    if not moved.any():
        return ""
    gap = np.abs(logged.astype(np.float64) - again.astype(np.float64)).max()
    return f"{int(moved.sum())} of {moved.size} moved, by at most {gap:.3g}"
