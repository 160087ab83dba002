"""Replays a prediction log: computes every prediction again with its model version, and compares the results.

A design supplies the functions for a single prediction. This module iterates over the log, counts, and collects the
differences.
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
    """A logged prediction with its id and its model version."""

    @property
    def event_id(self) -> str: ...


P = TypeVar("P", bound=Logged)
B = TypeVar("B")


def replay_log(
    log: PredictionLog[P],
    bundles: Bundles[B],
    skip_reason: Callable[[P], str],
    differences_of: Callable[[P, B], Mapping[str, str]],
    progress: Progress,
) -> Replayed:
    """Compute every prediction of `log` again and compare it with the logged one.

    `skip_reason` returns why a prediction cannot be replayed, or an empty text. `differences_of` returns field
    -> description of the difference, for each field that differs.
    """
    left_out, models = Counter[str](), Counter[str]()
    differences: list[Difference] = []
    for number, prediction in enumerate(log):
        progress((number + 1) / len(log), f"{number + 1} of {len(log)} predictions")
        try:
            if reason := skip_reason(prediction):
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
    """Field -> description of the difference, for each field of `logged` that differs from `again`."""
    return {name: how for name in logged if (how := difference(logged[name], again[name]))}


def difference(logged: npt.NDArray[Any], again: npt.NDArray[Any]) -> str:
    """Describe the difference of two arrays that must be bit-identical. Returns an empty text if they are equal."""
    if logged.shape != again.shape:
        return f"{len(logged)} values were logged, the replay has {len(again)}"
    moved = logged != again
    if not moved.any():
        return ""
    gap = np.abs(logged.astype(np.float64) - again.astype(np.float64)).max()
    return f"{int(moved.sum())} of {moved.size} values differ, by at most {gap:.3g}"
