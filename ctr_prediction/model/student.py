"""The served network as plain arrays, so serving can compute its first layer in parts (`split_layer`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from ctr_prediction.domain import Floats
from infra.errors import CorruptArtifact

ARRAYS = ("first", "bias", "last")


@dataclass(frozen=True)
class Student:
    """One hidden layer with ReLU: `first` float32[inputs, hidden] and `bias` float32[hidden], then `last`
    float32[hidden]. Two units of the layer represent the parallel linear part, since x = relu(x) - relu(-x)."""

    first: Floats
    bias: Floats
    last: Floats

    def __call__(self, x: Floats) -> Floats:
        """float32[n, inputs] -> float32[n]: the log-odds."""
        return self.of_sums(x @ self.first + self.bias)

    def of_sums(self, sums: Floats) -> Floats:
        """float32[n, hidden], the first layer before its ReLU -> float32[n]: the log-odds."""
        found: Floats = np.maximum(sums, np.float32(0)) @ self.last
        return found

    def write(self, path: Path) -> None:
        arrays: dict[str, Any] = {name: getattr(self, name) for name in ARRAYS}
        np.savez(path, **arrays)

    @classmethod
    def read(cls, path: Path, *, width: int) -> Student:
        """Read a verified file. Raises `CorruptArtifact` if it is not a student with `width` inputs."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                found = cls(*(np.asarray(stored[name], np.float32) for name in ARRAYS))
        except (OSError, ValueError, KeyError, BadZipFile) as exc:
            raise CorruptArtifact(f"{path.name} is not a student network: {exc}") from exc
        hidden = len(found.last)
        for name, shape in (("first", (width, hidden)), ("bias", (hidden,)), ("last", (hidden,))):
            if (actual := getattr(found, name).shape) != shape:
                raise CorruptArtifact(f"{name} in {path.name} is {actual}, and must be {shape} for {width} inputs")
        return found
