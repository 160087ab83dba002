"""Exponents, tables and published data of `lab bench growth`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from infra.errors import UsageError
from lab.bench.growth.lines import exponent, lines_of
from lab.bench.growth.page import Growth, page_of, publish_growth, read_growth
from lab.bench.growth.run import measure_growth
from lab.bench.growth.sizes import Cost, Size, mean_ms, stage_sums
from lab.output.measured import Measured

HERE = Measured("A processor", 2, "3.11.7", "smoke, small, medium", "2026-12-01", "0123456789ab")
METRICS = """# TYPE lab_stage_seconds histogram
lab_stage_seconds_bucket{stage="rank",le="+Inf"} 4
lab_stage_seconds_count{stage="rank"} 4
lab_stage_seconds_sum{stage="rank"} 0.02
lab_stage_seconds_bucket{stage="cut",le="+Inf"} 4
lab_stage_seconds_count{stage="cut"} 4
lab_stage_seconds_sum{stage="cut"} 0.004
"""


def size(preset: str, factor: int) -> Size:
    """Features grow in proportion to the rows, joins with their square, and the index not at all."""
    steps = {
        "features": Cost(2.0 * factor, 400.0),
        "join": Cost(0.5 * factor**2, 100.0 * factor**2),
        "index": Cost(0.1, 50.0),
    }
    return Size(preset, 1000 * factor, 100 * factor, 10 * factor, steps, {"rank": 0.5 * factor, "cut": 0.001})


SIZES = (size("smoke", 1), size("small", 10), size("medium", 50))


def exponents(unit: str) -> dict[str, float | None]:
    return {line.what: line.exponent for line in lines_of(SIZES) if line.unit == unit}


def test_exponent_is_the_slope_between_logarithms() -> None:
    assert exponent((10.0, 40.0), (3.0, 48.0)) == pytest.approx(2.0)


def test_lines_have_the_exponents_of_their_costs() -> None:
    assert exponents("s") == {"features": pytest.approx(1.0), "join": pytest.approx(2.0), "index": None}
    assert exponents("MB") == {"features": pytest.approx(0.0), "join": pytest.approx(2.0), "index": None}
    assert exponents("ms") == {"rank": pytest.approx(1.0), "cut": None}


def test_steps_that_not_all_sizes_have_are_left_out() -> None:
    odd = replace(SIZES[2], steps={**SIZES[2].steps, "naive": Cost(5.0, 500.0)})
    assert "naive" not in {line.what for line in lines_of((*SIZES[:2], odd))}


def test_sizes_that_are_equal_have_no_exponent() -> None:
    same = replace(SIZES[2], rows=SIZES[1].rows)
    assert {line.exponent for line in lines_of((*SIZES[:2], same)) if line.against == "rows"} == {None}


def test_stage_times_are_means_between_two_observations() -> None:
    before = stage_sums(METRICS)
    assert before == {"rank": (0.02, 4.0), "cut": (0.004, 4.0)}
    after = {"rank": (0.05, 10.0), "cut": (0.004, 4.0), "new": (0.003, 3.0)}
    assert mean_ms(before, after) == {"rank": pytest.approx(5.0), "new": pytest.approx(1.0)}


def test_page_marks_the_exponents_that_need_an_explanation() -> None:
    page = page_of({"feed_ranking": Growth(HERE, SIZES)})
    assert "| `join` | 0.5 | 50 | 1,250 | **2.00** |" in page
    assert "| `features` | 2 | 20 | 100 | 1.00 |" in page
    assert "| `index` | 0.1 | 0.1 | 0.1 |  |" in page
    assert "| medium | 50,000 | 5,000 | 500 |" in page
    assert "A processor" in page


def test_published_growth_is_read_back_and_keeps_other_designs(tmp_path: Path) -> None:
    publish_growth({"ctr_prediction": Growth(HERE, SIZES)}, tmp_path)
    publish_growth({"feed_ranking": Growth(HERE, SIZES)}, tmp_path)
    found = read_growth(tmp_path)
    assert found == {"ctr_prediction": Growth(HERE, SIZES), "feed_ranking": Growth(HERE, SIZES)}
    assert (tmp_path / "README.md").read_text() == page_of(found)
    assert "join" in (tmp_path / "feed.svg").read_text()


def test_unknown_design_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no design search"):
        next(measure_growth(["search"], 1, tmp_path))
