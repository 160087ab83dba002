"""A knob takes what lies in its range and nothing else; a budget holds or does not; names resolve."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.design import Budget, Knob, knob, knobs_of, resolve
from infra.errors import UsageError
from tests.unit.tiny import PRESETS, First, TinyConfig, tiny_design

SHARE = Knob("share", "rank", 0.5, "", 0.0, 1.0, "nothing", per_request=True)
COUNT = Knob("count", "rank", 5, "posts", 1, 10, "nothing", per_request=True)

anything = st.one_of(
    st.floats(), st.integers(-20, 20), st.sampled_from([True, False, None, "", "5", [5], 5j, math.nan, math.inf])
)


@pytest.mark.parametrize("knob_", [SHARE, COUNT], ids=lambda knob_: knob_.name)
@given(value=anything)
@settings(deadline=None, max_examples=100)
def test_a_knob_gives_back_a_number_of_its_kind_and_range_or_refuses(knob_: Knob, value: Any) -> None:
    try:
        taken = knob_.check(value)
    except UsageError:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        in_range = is_number and knob_.low <= value <= knob_.high
        assert not in_range or (knob_.is_integer and value != int(value))
    else:
        assert taken == value
        assert type(taken) is (int if knob_.is_integer else float)
        assert knob_.low <= taken <= knob_.high


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, True, False, "5", None, 0, 11, -1, 5.5])
def test_these_are_refused_for_a_whole_number_from_one_to_ten(value: Any) -> None:
    with pytest.raises(UsageError):
        COUNT.check(value)


@pytest.mark.parametrize("value", [math.nan, math.inf, True, "0.5", -0.001, 1.001, 10**400])
def test_these_are_refused_for_a_share(value: Any) -> None:
    with pytest.raises(UsageError):
        SHARE.check(value)


def test_a_number_that_no_float_can_hold_is_refused_like_any_other() -> None:
    with pytest.raises(UsageError):
        COUNT.check(10**400)


def test_both_ends_of_the_range_belong_to_it() -> None:
    assert (COUNT.check(1), COUNT.check(10), SHARE.check(0), SHARE.check(1.0)) == (1, 10, 0.0, 1.0)


def test_a_refusal_names_the_range_and_the_unit() -> None:
    with pytest.raises(UsageError, match="1 to 10 posts, not 11"):
        COUNT.check(11)


@pytest.mark.parametrize("default", [-0.1, 1.1, math.nan])
def test_a_default_outside_its_own_range_cannot_be_declared(default: float) -> None:
    with pytest.raises(ValueError, match="outside"):
        knob(default, unit="", low=0, high=1, trades="")


def test_knobs_come_in_the_order_of_stages_and_fields_with_the_values_of_this_configuration() -> None:
    knobs = knobs_of(TinyConfig(a=First(size=7)))
    assert [(k.stage, k.name, k.default) for k in knobs] == [("a", "size", 7), ("b", "share", 0.5), ("c", "size", 1)]
    assert [k.per_request for k in knobs] == [False, True, False]


def test_a_configuration_without_knobs_has_none() -> None:
    @dataclass(frozen=True)
    class Plain:
        size: int = 1

    @dataclass(frozen=True)
    class Config:
        plain: Plain = Plain()

    assert knobs_of(Config()) == ()


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("at_most", 10, True),
        ("at_most", 10.01, False),
        ("at_least", 10, True),
        ("at_least", 9.99, False),
        ("at_most", math.nan, False),
        ("at_least", math.nan, False),
    ],
)
def test_a_budget_holds_up_to_its_limit_and_never_for_a_value_that_is_missing(
    kind: Any, value: float, expected: bool
) -> None:
    assert Budget("b", 10, "ms", kind, "").holds(value) is expected


def test_an_unknown_preset_is_refused_with_those_that_exist() -> None:
    design = tiny_design()
    assert design.configuration("smoke") is PRESETS["smoke"]
    assert design.knobs("smoke") == knobs_of(PRESETS["smoke"])
    with pytest.raises(UsageError, match="'huge'") as caught:
        design.configuration("huge")
    assert "smoke" in caught.value.hint


def test_a_dotted_name_resolves_to_what_it_names() -> None:
    assert resolve("tests.unit.tiny:PRESETS") is PRESETS
    with pytest.raises(AttributeError):
        resolve("tests.unit.tiny:NOTHING")
    with pytest.raises(ModuleNotFoundError):
        resolve("tests.unit.nowhere:PRESETS")
