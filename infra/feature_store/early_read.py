"""The read of one row before the stages of a request run."""

from __future__ import annotations

from infra.errors import DependencyError
from infra.feature_store.guarded import GuardedFeatures
from infra.feature_store.port import FeatureRow
from infra.pipeline.trace import Trace
from infra.resilience.deadline import Deadline

NAME = "feature_store"


async def read_early(
    features: GuardedFeatures, entity_id: int, deadline: Deadline, trace: Trace, stage: str
) -> FeatureRow | DependencyError:
    """Return the row, or the error of the read for the stage that uses the row. The trace records it under `stage`.

    An event loop awaits this function, so that no thread of a request hands the read to another thread.
    """
    try:
        with trace.query_stage(stage, NAME):
            return await features.read_soon(entity_id, deadline)
    except DependencyError as exc:
        return exc
