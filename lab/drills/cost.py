"""Measures the cost of degraded responses with the oracle: the same users in the steady and in the broken phase."""

from __future__ import annotations

from infra.evaluation.drill import BROKEN, STEADY
from infra.evaluation.experiment import Judge, Score
from infra.evaluation.figures import Figure
from lab.drills.cases import DrillCases
from lab.drills.load import Sent
from lab.drills.run import DrillRun


def captured_cost(judge: Judge, run: DrillRun, cases: DrillCases) -> list[Figure]:
    """Captured value in both phases and the lost share, over the regular users with a response in both phases.

    Returns an empty list if no user has a response in both phases.
    """
    steady, broken = (first_answers(run, phase, cases) for phase in (STEADY, BROKEN))
    both = sorted(steady.keys() & broken.keys())
    if not both:
        return []
    asked = [cases.regulars[index] for index in both]
    healthy, faulty = (judge.captured_by(asked, [found[index].answer for index in both]) for found in (steady, broken))
    change, low, high = faulty.change_from(healthy)
    return [
        _figure(healthy, "captured_value_steady", "captured value before the fault"),
        _figure(faulty, "captured_value_broken", "captured value during the fault"),
        Figure("captured_value_lost", "share of the captured value lost to degradation", -change, -high, -low, ""),
    ]


def first_answers(run: DrillRun, phase: str, cases: DrillCases) -> dict[int, Sent]:
    """Index of a regular user -> the first successful response for the user in this phase."""
    found: dict[int, Sent] = {}
    for one in run.of(phase):
        index = cases.regular(one.number)
        if index is not None and one.status == 200:
            found.setdefault(index, one)
    return found


def _figure(score: Score, id: str, text: str) -> Figure:
    low, high = score.interval()
    return Figure(id, text, score.value, low, high, score.unit)
