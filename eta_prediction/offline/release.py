"""Step `release`: publish the champion with the city's snapshot and the feature repository that belong to it."""

from __future__ import annotations

from eta_prediction.features.views import STORED
from eta_prediction.items.city import open_city
from infra.build.runner import Facts, StepContext
from infra.feature_store.repository import forget_unserved
from infra.registry.publish import evaluated_champion, write_release


def publish(context: StepContext) -> Facts:
    """Write the release.

    Raises `LabError` if the champion is not the model that this build evaluated, and `CorruptArtifact` if the snapshot
    of the city was made for another model.
    """
    champion = evaluated_champion(context)
    open_city(context.inputs["index"] / "snapshot", model_digest=champion.digest)
    facts = write_release(context, champion)
    forget_unserved(STORED, context)
    return facts
