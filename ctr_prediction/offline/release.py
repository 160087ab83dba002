"""Step `release`: publish the champion with the snapshot and the feature repository that belong to it."""

from __future__ import annotations

from ctr_prediction.features.views import STORED
from ctr_prediction.items.snapshot import open_snapshot
from infra.build.runner import Facts, StepContext
from infra.feature_store.repository import forget_unserved
from infra.registry.publish import evaluated_champion, write_release


def publish(context: StepContext) -> Facts:
    """Write the release.

    Raises `LabError` if the champion is not the model that this build evaluated, and `CorruptArtifact` if the snapshot
    of ads was made for another model.
    """
    champion = evaluated_champion(context)
    open_snapshot(context.inputs["index"] / "snapshot", model_digest=champion.digest)
    facts = write_release(context, champion)
    forget_unserved(STORED, context)
    return facts
