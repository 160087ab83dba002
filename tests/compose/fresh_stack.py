"""A composed stack for the tests of one file."""

from __future__ import annotations

from collections.abc import Iterator

from lab.services.composing import Stack


def fresh_stack(project: str, **settings: str) -> Iterator[Stack]:
    """Yield a stack without containers and data, and remove it at the end. `settings` are those of the compose file."""
    found = Stack(project, settings=settings)
    found.down()  # remove the remains of a killed run
    yield found
    found.down()
