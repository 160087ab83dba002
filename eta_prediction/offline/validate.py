"""Step `validate`: check the log before anything learns from it. The checks are values in `events/checks.py`."""

from __future__ import annotations

from eta_prediction.config import EtaConfig
from eta_prediction.events.checks import log_tables
from eta_prediction.events.history import read_graph
from infra.build.runner import Facts, StepContext
from infra.data_quality import step


def validate(context: StepContext) -> Facts:
    """See `infra.data_quality.step.validate`."""
    config: EtaConfig = context.config
    return step.validate(context, log_tables(read_graph(context.inputs["world"])), config.world)
