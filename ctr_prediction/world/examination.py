"""Position bias: users examine lower slots less often, whatever the ad.

Trade-off caused: the log confounds position with relevance. An auction with such a model sells the top slot to the ads
that had it before. (Position-based model: Craswell et al., WSDM 2008.)
"""

from __future__ import annotations

import numpy as np

from ctr_prediction.config import WorldConfig
from ctr_prediction.domain import Array, Ints


def examination(config: WorldConfig, slot: Ints) -> Array:
    """float64: probability that a user examines `slot` (from 0): (1 + slot) ** -decay."""
    p_examined: Array = np.power(1.0 + slot, -config.examination_decay)
    return p_examined
