"""A batch as a training step reads it, on one device or on several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import numpy.typing as npt
from jax.sharding import NamedSharding


def batch_of(rows: Mapping[str, npt.NDArray[Any]], chosen: npt.NDArray[np.integer[Any]], split: NamedSharding) -> Any:
    """The rows at `chosen` int[size] of every array, by name, each in slices over the devices of `split`.

    One device takes arrays as they are: to place each of them beforehand takes a millisecond or more of every step.
    """
    batch = {name: values[chosen] for name, values in rows.items()}
    return batch if split.num_devices == 1 else jax.device_put(batch, split)
