"""What being degraded cost, by the oracle: the same users, asked while all was well and while a part was gone."""

from __future__ import annotations

from collections.abc import Sequence

from infra.drill import BROKEN, STEADY
from infra.experiment import Judge, Score
from infra.figures import Figure
from lab.drill_load import Sent
from lab.drilling import DrillRun

CASES = 250
"""cases that the load asks for in turns, so that each phase asks for each of them"""


def captured_cost(judge: Judge, run: DrillRun, cases: Sequence[int]) -> list[Figure]:
    """Captured value in both phases and the share of it that was lost, over the cases that both have answered."""
    steady, broken = (first_answers(run, phase, len(cases)) for phase in (STEADY, BROKEN))
    both = sorted(steady.keys() & broken.keys())
    if not both:
        return []
    asked = [cases[index] for index in both]
    well, ill = (judge.captured_by(asked, [found[index].answer for index in both]) for found in (steady, broken))
    change, low, high = ill.change_from(well)
    return [
        _figure(well, "captured_value_steady", "captured value while all was well"),
        _figure(ill, "captured_value_broken", "captured value while the part was gone"),
        Figure("captured_value_lost", "share of it that being degraded cost", -change, -high, -low, ""),
    ]


def first_answers(run: DrillRun, phase: str, cases: int) -> dict[int, Sent]:
    """Index of the case -> the first answer that a phase got for it."""
    found: dict[int, Sent] = {}
    for one in run.of(phase):
        if one.status == 200:
            found.setdefault(one.number % cases, one)
    return found


def _figure(score: Score, id: str, text: str) -> Figure:
    low, high = score.interval()
    return Figure(id, text, score.value, low, high, score.unit)
