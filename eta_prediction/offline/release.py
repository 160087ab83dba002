"""Step `release`: write the release: the model, the city's snapshot and the feature repository that belong together."""

from __future__ import annotations

from eta_prediction.features.views import STORED
from eta_prediction.items.city import open_city
from infra.build.runner import Facts, StepContext
from infra.feature_store.repository import forget_unserved
from infra.registry.publish import evaluated_model, write_release


def publish(context: StepContext) -> Facts:
    """Write the release.

    Raises `LabError` if the registry does not hold the model that this build evaluated, and `CorruptArtifact` if the
    snapshot of the city was made for another model.
    """
    model = evaluated_model(context)
    open_city(context.inputs["index"] / "snapshot", model_digest=model.digest)
    facts = write_release(context, model)
    forget_unserved(STORED, context)
    return facts
