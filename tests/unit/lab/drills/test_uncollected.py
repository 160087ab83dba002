"""The load of a drill runs without the cyclic garbage collector, also if it ends with an error."""

from __future__ import annotations

import gc

import pytest

from lab.drills.load import uncollected


def fail_in_a_load() -> None:
    with uncollected():
        raise InterruptedError(gc.isenabled())


def test_collector_is_off_inside_and_on_afterwards() -> None:
    with pytest.raises(InterruptedError, match="False"):
        fail_in_a_load()
    assert gc.isenabled()
