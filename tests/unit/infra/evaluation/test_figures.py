"""A figure is the median of its rounds and is checked against its bound."""

from __future__ import annotations

import math
from pathlib import Path
from statistics import median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.evaluation.figures import Bound, Figure, keeps, of_rounds, read_figures, write_figures

BOUND = Bound("F1", "p99 latency", "ms", must="<= 180", aim="<= 100")


@pytest.mark.parametrize(
    ("value", "bound", "expected"),
    [
        (3.0, "<= 4", True),
        (4.0, "<= 4", True),
        (4.1, "<= 4", False),
        (4.0, ">= 4", True),
        (3.9, ">= 4", False),
        (-1.0, ">= -1.5", True),
        (math.nan, "<= 4", False),
        (math.nan, ">= 4", False),
    ],
)
def test_value_is_checked_against_its_bound(value: float, bound: str, expected: bool) -> None:
    assert keeps(value, bound) is expected


@pytest.mark.parametrize("bound", ["< 4", "== 4", "4", "", "<=4", "<= four", "<="])
def test_malformed_bound_raises(bound: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  (the message comes from float())
        keeps(1.0, bound)


@given(rounds=st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=9))
@settings(deadline=None, max_examples=50)
def test_figure_of_rounds_has_their_median_minimum_and_maximum(rounds: list[float]) -> None:
    figure = of_rounds(BOUND, rounds)
    assert (figure.low, figure.value, figure.high) == (min(rounds), median(rounds), max(rounds))
    assert (figure.id, figure.unit, figure.must, figure.aim) == ("F1", "ms", "<= 180", "<= 100")


def test_met_refers_to_must_and_not_to_aim() -> None:
    assert of_rounds(BOUND, [150]).met is True
    assert of_rounds(BOUND, [181]).met is False
    assert of_rounds(Bound("F2", "size", "MB", aim="<= 1"), [50]).met is None


def test_figure_row_has_five_digits_and_whether_the_bound_is_met() -> None:
    row = Figure("F1", "loss", 0.123456789, 0.1, 1234567.0, "", must=">= 0.1").row()
    assert (row["value"], row["high"], row["met"], row["aim"]) == (0.12346, 1234600.0, True, None)


def test_figures_survive_a_round_trip_to_disk(tmp_path: Path) -> None:
    figures = [of_rounds(BOUND, [1.5, 2.5, 0.1]), Figure("F2", "größe", 1, 1, 1, "MB")]
    write_figures(tmp_path, figures)
    assert read_figures(tmp_path) == figures
