"""The findings of a sweep follow from its measurements."""

from __future__ import annotations

import numpy as np
import pytest

from infra.errors import UsageError
from infra.evaluation.experiment import Score, per_case
from infra.settings import Settings
from lab.sweeps.findings import best_at, finding, front
from lab.sweeps.run import Setting, parse_vary
from tests.support.tiny import tiny_design

NOISE = np.random.default_rng(0).normal(0, 0.01, 100)


def setting(k: int, ms: float, value: float, age_h: float = 1.0) -> Setting:
    scores = [
        per_case("value_s", "value", "s", value + NOISE),
        Score("age_h", "age", "h", np.full(100, age_h), np.ones(100), more_is_better=False),
    ]
    return Setting({"k": k}, ms, 2 * ms, ms, 0.0, {score.id: score for score in scores})


def test_best_at_returns_the_fastest_or_the_most_valuable_setting() -> None:
    slow, quick = setting(1, 9.0, 10.0), setting(2, 3.0, 5.0)
    assert best_at([slow, quick], "p50_ms") is quick
    assert best_at([slow, quick], "value_s") is slow
    assert best_at([setting(1, 1, 1, age_h=9), setting(2, 1, 1, age_h=2)], "age_h").knobs == {"k": 2}


def test_pareto_front_excludes_dominated_settings() -> None:
    quick, good, beaten = setting(1, 2.0, 5.0), setting(2, 4.0, 9.0), setting(3, 5.0, 8.0)
    assert front([beaten, good, quick], "p50_ms", "value_s") == [quick, good]


def test_finding_names_a_faster_setting_within_one_percent_and_its_saving() -> None:
    text = finding([setting(50, 2.0, 8.0), setting(200, 4.0, 9.95), setting(500, 8.0, 10.0)], "p50_ms", "value_s")
    assert "k=500 is best" in text
    assert "k=200 is as good" in text
    assert "50% less" in text
    assert "k=50 " not in text


def test_finding_reports_the_loss_when_no_setting_is_close() -> None:
    text = finding([setting(1, 2.0, 8.0), setting(2, 4.0, 10.0)], "p50_ms", "value_s")
    assert "k=1 takes 2 ms and is worse (-20.0%" in text


def test_finding_reports_the_gain_and_its_cost() -> None:
    text = finding([setting(1, 1.0, 10.0, age_h=20), setting(2, 1.0, 7.0, age_h=5)], "age_h", "value_s")
    assert text.startswith("From k=1 to k=2: age 20 → 5 h, value -30.0%")


def quote(k: int, ms: float, error: float, bias: float) -> Setting:
    scores = [
        Score("error_min", "error", "min", error + NOISE, np.ones(100), more_is_better=False),
        per_case("bias_min", "bias", "min", bias + NOISE - NOISE.mean(), target=0.0),
    ]
    return Setting({"k": k}, ms, 2 * ms, ms, 0.0, {score.id: score for score in scores})


LOW, NONE, HIGH = quote(1, 2.0, 3.9, bias=-2.4), quote(2, 3.0, 3.0, bias=0.001), quote(3, 4.0, 3.3, bias=1.6)


def test_best_at_a_target_is_the_closest_setting() -> None:
    assert best_at([LOW, NONE, HIGH], "bias_min") is NONE
    assert best_at([LOW, HIGH], "bias_min") is HIGH, "closer from above"
    assert front([LOW, NONE, HIGH], "bias_min", "error_min") == [NONE], "no other setting beats it on both axes"
    assert finding([LOW, NONE, HIGH], "bias_min", "error_min").startswith("k=2 is best on both: bias 0.001 min")


def test_finding_gives_both_values_of_a_measure_with_a_target() -> None:
    """The best bias is about 0, so a relative change from it would say nothing."""
    text = finding([quote(1, 1.0, 2.9, bias=0.5), NONE], "error_min", "bias_min")
    assert text == "From k=2 to k=1: error 3 → 2.9 min, bias 0.001 → 0.5 min."
    assert finding([LOW, NONE], "p50_ms", "bias_min").endswith("k=1 takes 2 ms and is worse (0.001 → -2.4 min).")


def test_finding_about_time_accepts_measures_of_which_less_is_better() -> None:
    near = quote(4, 1.0, 3.01, bias=0.004)
    text = finding([LOW, NONE, HIGH, near], "p50_ms", "error_min")
    assert text.startswith("k=2 is best (error 3 min")
    assert "k=4 is as good (+0.3%" in text
    assert "k=4 is as good (0.001 → 0.004 min) in 1 ms, 67% less" in finding([LOW, NONE, near], "p50_ms", "bias_min")


def test_parse_vary_rejects_invalid_values_before_a_run() -> None:
    design, settings = tiny_design(), Settings(preset="smoke")
    assert parse_vary(design, settings, ["share=0,0.5"]) == {"share": [0, 0.5]}
    for wrong, reason in (
        ("share", "not NAME=VALUE"),
        ("nothing=1", "no knob"),
        ("share=2", "takes 0"),
        ("share=x", "number"),
    ):
        with pytest.raises(UsageError, match=reason):
            parse_vary(design, settings, [wrong])
