"""The setting `deadline_factor` lengthens deadlines and changes nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import ValidationError

from infra.serving.serve import with_longer_deadlines
from infra.settings import Settings
from lab.designs import NAMES, find_design


@pytest.mark.parametrize("name", NAMES)
def test_deadline_factor_multiplies_the_deadline_and_the_store_timeout_only(name: str) -> None:
    config = find_design(name).configuration("small")
    longer = with_longer_deadlines(config, 20)
    assert longer.serve.deadline_ms == 20 * config.serve.deadline_ms
    assert longer.serve.feature_timeout_ms == 20 * config.serve.feature_timeout_ms
    limits = {field: getattr(config.serve, field) for field in ("deadline_ms", "feature_timeout_ms")}
    assert replace(longer, serve=replace(longer.serve, **limits)) == config


def test_deadlines_are_never_shortened() -> None:
    with pytest.raises(ValidationError):
        Settings(deadline_factor=0.5)
