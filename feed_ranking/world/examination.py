"""Position bias: what stands further down is looked at less, whatever it is.

Trade-off caused: the log confuses "stood on top" with "was good"; a model that learns from it without the position
learns to repeat it. (Position-based model: Craswell et al., WSDM 2008.)
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from feed_ranking.config import WorldConfig


def examination(config: WorldConfig, position: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Probability that a user looks at `position` (from 0): (1 + position) ** -decay."""
    looks: npt.NDArray[np.float64] = np.power(1.0 + position, -config.examination_decay)
    return looks
