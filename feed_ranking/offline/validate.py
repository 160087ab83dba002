"""Step `validate`: check the log before anything learns from it. The checks are values in `events/checks.py`."""

from __future__ import annotations

from feed_ranking.config import FeedConfig
from feed_ranking.events.checks import TABLES
from infra.build.runner import Facts, StepContext
from infra.data_quality import step


def validate(context: StepContext) -> Facts:
    """See `infra.data_quality.step.validate`."""
    config: FeedConfig = context.config
    return step.validate(context, TABLES, config.world)
