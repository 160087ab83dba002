"""Knobs accept only values in their range, budgets compare values with limits, and dotted names resolve."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.design import Budget, Knob, choice, knob, knobs_of, resolve, stage_with_knobs, with_knobs, with_known_knobs
from infra.errors import UsageError
from tests.support.tiny import PRESETS, First, TinyConfig, tiny_design

SHARE = Knob("share", "rank", 0.5, "", 0.0, 1.0, "nothing", per_request=True)
COUNT = Knob("count", "rank", 5, "posts", 1, 10, "nothing", per_request=True)
KIND = Knob("kind", "rank", "flat", "", 0, 0, "nothing", per_request=True, choices=("flat", "ivf", "7"))


@dataclass(frozen=True)
class Shelf:
    kind: str = choice("flat", ("flat", "ivf"), trades="faster, less exact", per_request=True)
    width: int = knob(3, unit="books", low=1, high=9, trades="more room")


@dataclass(frozen=True)
class ShelfConfig:
    shelf: Shelf = Shelf()


anything = st.one_of(
    st.floats(), st.integers(-20, 20), st.sampled_from([True, False, None, "", "5", [5], 5j, math.nan, math.inf])
)


@pytest.mark.parametrize("knob_", [SHARE, COUNT], ids=lambda knob_: knob_.name)
@given(value=anything)
@settings(deadline=None, max_examples=100)
def test_knob_returns_a_number_of_its_type_and_range_or_raises(knob_: Knob, value: Any) -> None:
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
def test_integer_knob_rejects_invalid_values(value: Any) -> None:
    with pytest.raises(UsageError):
        COUNT.check(value)


@pytest.mark.parametrize("value", [math.nan, math.inf, True, "0.5", -0.001, 1.001, 10**400])
def test_share_knob_rejects_invalid_values(value: Any) -> None:
    with pytest.raises(UsageError):
        SHARE.check(value)


def test_integer_knob_rejects_a_number_beyond_float_range() -> None:
    with pytest.raises(UsageError):
        COUNT.check(10**400)


def test_knob_range_includes_both_ends() -> None:
    assert (COUNT.check(1), COUNT.check(10), SHARE.check(0), SHARE.check(1.0)) == (1, 10, 0.0, 1.0)


def test_knob_error_names_the_range_and_the_unit() -> None:
    with pytest.raises(UsageError, match="1 to 10 posts, not 11"):
        COUNT.check(11)


@pytest.mark.parametrize("default", [-0.1, 1.1, math.nan])
def test_knob_rejects_a_default_outside_its_range(default: float) -> None:
    with pytest.raises(ValueError, match="outside"):
        knob(default, unit="", low=0, high=1, trades="")


@pytest.mark.parametrize("name", ["flat", "ivf", "7"])
def test_choice_knob_accepts_each_choice_as_value_and_as_text(name: str) -> None:
    assert KIND.check(name) == name
    assert KIND.parse(name) == name
    assert type(KIND.parse(name)) is str, "a choice that looks like a number stays text"


@pytest.mark.parametrize("value", ["Flat", "", "fla", "flat,ivf", "0", 0, 7, 7.0, True, None, ["flat"], math.nan])
def test_choice_knob_rejects_other_values_and_lists_its_choices(value: Any) -> None:
    with pytest.raises(UsageError, match=r"knob kind takes flat, ivf, 7$"):
        KIND.check(value)
    if isinstance(value, str):
        with pytest.raises(UsageError, match=r"knob kind takes flat, ivf, 7$"):
            KIND.parse(value)


def test_choice_knob_rejects_a_default_outside_its_choices() -> None:
    with pytest.raises(ValueError, match="hnsw"):
        choice("hnsw", ("flat", "ivf"), trades="")


def test_knobs_of_and_with_knobs_support_choices_and_numbers() -> None:
    kind, width = knobs_of(ShelfConfig())
    assert (kind.stage, kind.name, kind.default, kind.choices) == ("shelf", "kind", "flat", ("flat", "ivf"))
    assert (kind.per_request, kind.trades, kind.is_integer) == (True, "faster, less exact", False)
    assert (width.per_request, width.choices) == (False, ())
    turned = with_knobs(ShelfConfig(), {"kind": "ivf", "width": 4})
    assert turned == ShelfConfig(Shelf("ivf", 4))
    assert [knob_.default for knob_ in knobs_of(turned)] == ["ivf", 4]
    with pytest.raises(UsageError, match="kind takes flat, ivf"):
        with_knobs(ShelfConfig(), {"kind": "hnsw"})
    with pytest.raises(UsageError, match="no knob 'depth'") as caught:
        with_knobs(ShelfConfig(), {"depth": 1})
    assert "kind, width" in caught.value.hint


@given(value=st.integers(1, 10))
def test_integer_knob_parses_its_text(value: int) -> None:
    for text in (str(value), f"{value}.0"):
        assert COUNT.parse(text) == value
        assert type(COUNT.parse(text)) is int


@given(value=st.floats(0, 1))
def test_share_knob_parses_its_text(value: float) -> None:
    assert SHARE.parse(repr(value)) == value
    assert type(SHARE.parse("1")) is float


def test_knob_parses_negative_numbers() -> None:
    below = Knob("below", "rank", 0, "", -5, 5, "nothing", per_request=False)
    assert below.parse("-3") == -3
    with pytest.raises(UsageError, match="-5 to 5"):
        below.parse("-6")


@pytest.mark.parametrize("text", ["", " ", "five", "1,5", "--5", "-", "0x5", "5 posts", "[5]", "True", "9" * 5000])
def test_parse_rejects_text_that_is_not_a_number(text: str) -> None:
    for knob_ in (COUNT, SHARE):
        with pytest.raises(UsageError, match=f"knob {knob_.name} takes"):
            knob_.parse(text)


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999", "11", "0", "-1", "5.5"])
def test_parse_rejects_numbers_outside_the_range(text: str) -> None:
    with pytest.raises(UsageError, match="knob count takes"):
        COUNT.parse(text)


def test_knobs_of_lists_knobs_in_field_order_with_the_configured_values() -> None:
    knobs = knobs_of(TinyConfig(a=First(size=7)))
    assert [(k.stage, k.name, k.default) for k in knobs] == [("a", "size", 7), ("b", "share", 0.5), ("c", "size", 1)]
    assert [k.per_request for k in knobs] == [False, True, False]


def test_knobs_of_a_configuration_without_knobs_is_empty() -> None:
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
def test_budget_holds_up_to_its_limit_and_never_for_nan(kind: Any, value: float, expected: bool) -> None:
    assert Budget("b", 10, "ms", kind, "").holds(value) is expected


def test_unknown_preset_is_rejected_with_the_valid_names() -> None:
    design = tiny_design()
    assert design.configuration("smoke") is PRESETS["smoke"]
    assert design.knobs("smoke") == knobs_of(PRESETS["smoke"])
    with pytest.raises(UsageError, match="'huge'") as caught:
        design.configuration("huge")
    assert "smoke" in caught.value.hint


def test_resolve_returns_the_object_of_a_dotted_name() -> None:
    assert resolve("tests.support.tiny:PRESETS") is PRESETS
    with pytest.raises(AttributeError):
        resolve("tests.support.tiny:NOTHING")
    with pytest.raises(ModuleNotFoundError):
        resolve("tests.unit.nowhere:PRESETS")


def test_with_known_knobs_ignores_unknown_knobs() -> None:
    config = with_known_knobs(TinyConfig(), {"share": 0.25, "gone": 3})
    assert config.b.share == 0.25
    assert config == with_knobs(TinyConfig(), {"share": 0.25})
    with pytest.raises(UsageError):
        with_known_knobs(TinyConfig(), {"share": 2.0})


def test_stage_with_knobs_applies_only_its_own_knobs() -> None:
    stage = First()
    assert stage_with_knobs(stage, {"size": 5, "share": 0.1}) == First(size=5)
    assert stage_with_knobs(stage, {"share": 0.1}) is stage
    assert stage_with_knobs(stage, {}) is stage
