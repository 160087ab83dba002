"""Position bias: users examine lower positions less often, whatever the item.

Trade-off caused: the log confounds position with relevance. A model that ignores the position learns to repeat the
logging policy. (Position-based model: Craswell et al., WSDM 2008.)
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from feed_ranking.config import WorldConfig


def examination(config: WorldConfig, position: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """float64: probability that a user examines `position` (from 0): (1 + position) ** -decay."""
    p_examined: npt.NDArray[np.float64] = np.power(1.0 + position, -config.examination_decay)
    return p_examined
