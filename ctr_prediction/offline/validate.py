"""Step `validate`: check the log before anything learns from it. The checks are values in `events/checks.py`."""

from __future__ import annotations

from ctr_prediction.config import CtrConfig
from ctr_prediction.events.checks import TABLES
from infra.build.runner import Facts, StepContext
from infra.data_quality import step


def validate(context: StepContext) -> Facts:
    """See `infra.data_quality.step.validate`."""
    config: CtrConfig = context.config
    return step.validate(context, TABLES, config.world)
