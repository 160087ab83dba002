"""A build as of a date reads only the data before that date (UTC). A backfill builds one date after the other.

The generated history of n days equals the first n days of a longer one, and the files of the live log are stored by the
date at which they were written. So the same date always gives the same input. Such a build has its own models and its
own rows in the online store, and no service loads it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

from infra.design import Design, resolve
from infra.errors import UsageError
from infra.live.live_log import before
from infra.settings import Settings


def as_of(design: Design, settings: Settings, day: date) -> Design:
    """The design with only the data before `day`. It is the design itself if all of its data is older.

    Raises `UsageError` if the history has fewer days before `day` than a build needs (`least_days` of the
    configuration).
    """
    config = design.configuration(settings.preset)
    world, least = config.world, config.least_days
    first = date.fromisoformat(world.start[:10])
    if day < first + timedelta(days=least):
        raise UsageError(
            f"the history of {design.name} begins on {first}, and a build needs {least} days of it",
            hint=f"choose {first + timedelta(days=least)} or a later date",
        )
    if day < first + timedelta(days=world.days) or _is_cut(design, settings, day):
        return replace(design, as_of=str(day))
    return design


def _is_cut(design: Design, settings: Settings, day: date) -> bool:
    """Whether the live log has files of `day` or later."""
    cuts = [str(resolve(step.cut)(settings)) for step in design.steps if step.cut]
    return any(before(cut, str(day)) != cut for cut in cuts)
