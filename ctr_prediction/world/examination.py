"""Position bias: a slot further down is looked at less, whatever stands in it.

Trade-off caused: the log confuses "stood on top" with "was relevant". An auction that prices by such a model sells the
top slot to whoever had it before. (Position-based model: Craswell et al., WSDM 2008.)
"""

from __future__ import annotations

import numpy as np

from ctr_prediction.config import WorldConfig
from ctr_prediction.domain import Array, Ints


def examination(config: WorldConfig, slot: Ints) -> Array:
    """Probability that a user looks at `slot` (from 0): (1 + slot) ** -decay."""
    looks: Array = np.power(1.0 + slot, -config.examination_decay)
    return looks
