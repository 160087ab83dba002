"""Simulated people follow the shift of the world while they run; a visit that has begun is not asked to change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, repeat
from pathlib import Path
from typing import Any

import pytest

from infra.evaluation.population import Events, Sums
from infra.live.world_shift import FILE, ShiftWatch, WorldShift, clear_shift, write_shift
from lab.people import living
from lab.people.live_tally import Tally
from lab.people.living import Living

NOWHERE = "http://127.0.0.1:9"


class Nobody:
    """A visit that ends at once."""

    observed: Sums = {}  # noqa: RUF012
    expected: Sums = {}  # noqa: RUF012

    def question(self) -> Mapping[str, Any] | None:
        return None

    def react(self, answer: Mapping[str, Any]) -> Events:
        return {}


class People:
    """Notes the size of the shift at each visit."""

    measures = ()
    events_path = publish_path = publish_field = ""
    until_ts = float("inf")

    def __init__(self) -> None:
        self.size = 0.0
        self.lived: list[float] = []

    def gaps_s(self, rate_per_s: float) -> Iterator[float]:
        return repeat(1 / rate_per_s)

    def shift(self, size: float) -> None:
        self.size = size

    def visit(self, number: int) -> Nobody:
        self.lived.append(self.size)
        return Nobody()

    def publications(self, from_ts: float, to_ts: float) -> Sequence[Mapping[str, Any]]:
        return []


def follow(root: Path, people: People, steps: dict[int, Any], until: int) -> tuple[list[float], list[str]]:
    """Run until `until` visits began. After n visits, `steps[n]` is called with the directory. Returns the different
    sizes in which the visits lived, in order, and the lines that were told."""
    told: list[str] = []
    run = Living(people, NOWHERE, "/", 0.0, shifts=ShiftWatch(root), tell=told.append)
    left = dict(steps)

    def report(at_s: float, tally: Tally) -> None:
        for count in [count for count in left if len(people.lived) >= count]:
            left.pop(count)(root)
        if len(people.lived) >= until:
            run._stop.set()

    run.run(200.0, 30.0, report)
    assert not left
    return [size for size, _ in groupby(people.lived)], told


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(living, "SHIFT_EVERY_S", 0.01)


def shift_to(size: float) -> Any:
    return lambda root: write_shift(root, WorldShift(size, "2026-01-05T00:00:00+00:00"))


def test_changes_apply_to_later_visits_and_each_is_told_once(tmp_path: Path) -> None:
    steps = {40: shift_to(0.5), 80: shift_to(0.9), 120: clear_shift}
    sizes, told = follow(tmp_path, People(), steps, 160)
    assert sizes == [0.0, 0.5, 0.9, 0.0]
    assert told == ["the world shifts by 0.5", "the world shifts by 0.9", "the world is again as generated"]


def test_a_run_that_begins_later_begins_in_the_shifted_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published: list[float] = []
    monkeypatch.setattr(Living, "_publish", lambda self: published.append(self.people.size))
    shift_to(0.5)(tmp_path)
    sizes, told = follow(tmp_path, People(), {}, 20)
    assert sizes == published == [0.5]
    assert told == ["the world shifts by 0.5"]


def test_a_damaged_file_leaves_the_world_as_it_is(tmp_path: Path) -> None:
    shift_to(0.5)(tmp_path)
    steps = {30: lambda root: (root / FILE).write_text("{"), 60: shift_to(0.7)}
    sizes, told = follow(tmp_path, People(), steps, 90)
    assert sizes == [0.5, 0.7]
    assert [line[:24] for line in told] == [
        "the world shifts by 0.5",
        "the world stays as it is",
        "the world shifts by 0.7",
    ]


def test_the_file_is_looked_at_about_once_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(living, "SHIFT_EVERY_S", 1.0)
    looks = 0

    class Counted(ShiftWatch):
        def change(self) -> float | None:
            nonlocal looks
            looks += 1
            return super().change()

    people = People()
    lasted_s = Living(people, NOWHERE, "/", 0.0, shifts=Counted(tmp_path)).run(100.0, 2.5, lambda *_: None)
    assert len(people.lived) > 100
    assert 2 <= looks <= lasted_s + 1
