"""Step `release`: write the release: the model, the snapshot and the feature repository that belong together."""

from __future__ import annotations

from feed_ranking.features.views import STORED
from feed_ranking.items.snapshot import open_snapshot
from infra.build.runner import Facts, StepContext
from infra.feature_store.repository import forget_unserved
from infra.registry.publish import evaluated_model, write_release


def publish(context: StepContext) -> Facts:
    """Write the release.

    Raises `LabError` if the registry does not hold the model that this build evaluated, and `CorruptArtifact` if the
    snapshot of posts was made for another model.
    """
    model = evaluated_model(context)
    open_snapshot(context.inputs["index"] / "snapshot", model_digest=model.digest)
    facts = write_release(context, model)
    forget_unserved(STORED, context)
    return facts
