"""The codec restores events as encoded and rejects invalid messages with a reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.stream.event import Codec, PoisonMessage, encode


@dataclass(frozen=True)
class Seen:
    """One field of each type that events have."""

    SCHEMA: ClassVar[str] = "test.seen"
    VERSION: ClassVar[int] = 1

    number: int
    at: float
    word: str
    is_new: bool
    marks: Sequence[int]
    facts: Mapping[str, Any]

    @property
    def event_id(self) -> str:
        return str(self.number)

    @property
    def event_ts(self) -> float:
        return self.at

    @property
    def key(self) -> str:
        return self.word


@dataclass(frozen=True)
class Checked(Seen):
    """An event with a `__post_init__`."""

    SCHEMA: ClassVar[str] = "test.checked"

    def __post_init__(self) -> None:
        object.__setattr__(self, "word", self.word.upper())


CODEC = Codec.of(Seen, Checked)
SEEN = Seen(7, 1.5, "word", True, [1, 2], {"a": 1})
SEENS = st.builds(
    Seen,
    number=st.integers(-(2**63), 2**63 - 1),
    at=st.floats(allow_nan=False, allow_infinity=False),
    word=st.text(st.characters(exclude_categories=["Cs"])),
    is_new=st.booleans(),
    marks=st.lists(st.integers(-(2**53), 2**53)),
    facts=st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.integers(-(2**53), 2**53)),
)


def body(**data: Any) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(encode("t", SEEN).value)
    found["data"] |= data
    return found


@given(event=SEENS)
@settings(deadline=None, max_examples=100)
def test_codec_restores_an_encoded_event(event: Seen) -> None:
    assert CODEC.decode(encode("t", event).value) == event


@given(order=st.permutations(sorted(vars(SEEN))))
@settings(deadline=None, max_examples=30)
def test_codec_reads_fields_in_any_order(order: list[str]) -> None:
    found = body()
    found["data"] = {name: found["data"][name] for name in order}
    assert CODEC.decode(orjson.dumps(found)) == SEEN


def test_codec_converts_an_integer_to_a_float_field() -> None:
    found = CODEC.decode(orjson.dumps(body(at=2)))
    assert (found.at, type(found.at)) == (2.0, float)


def test_codec_runs_the_post_init_of_an_event() -> None:
    assert CODEC.decode(orjson.dumps(body() | {"schema": "test.checked"})).word == "WORD"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("number", 7.0),
        ("number", True),
        ("number", "7"),
        ("number", None),
        ("at", "1.5"),
        ("at", True),
        ("at", None),
        ("word", 7),
        ("is_new", 1),
        ("marks", "12"),
        ("marks", 3),
        ("facts", None),
    ],
)
def test_field_of_the_wrong_type_is_poison_and_named(name: str, value: Any) -> None:
    with pytest.raises(PoisonMessage, match=rf"test\.seen\.{name} is"):
        CODEC.decode(orjson.dumps(body(**{name: value})))


@pytest.mark.parametrize("number", [b"1e400", b"NaN", b"Infinity", b"-1e999"])
def test_non_finite_number_is_poison(number: bytes) -> None:
    value = encode("t", SEEN).value.replace(b'"at":1.5', b'"at":' + number)
    assert number in value
    with pytest.raises(PoisonMessage):
        CODEC.decode(value)


@pytest.mark.parametrize("change", [{"extra": 1}, {"word": ...}])
def test_extra_or_missing_field_is_poison_and_named(change: dict[str, Any]) -> None:
    found = body()
    for name, value in change.items():
        if value is ...:
            del found["data"][name]
        else:
            found["data"][name] = value
    with pytest.raises(PoisonMessage, match=rf"unknown fields: \['{next(iter(change))}'\]"):
        CODEC.decode(orjson.dumps(found))


def test_event_id_that_contradicts_the_fields_is_poison() -> None:
    with pytest.raises(PoisonMessage, match="has the id '8', its fields give '7'"):
        CODEC.decode(orjson.dumps(body() | {"event_id": "8"}))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"\xff", "not JSON"),
        (b"[]", "not an event"),
        (b'{"data":1}', "not an event"),
        (b'{"data":{},"schema":"other"}', "unknown schema"),
        (b'{"data":{},"schema":"test.seen","version":2}', "version 2, this code reads version 1"),
        (b'{"data":{},"schema":["test.seen"]}', "unknown schema"),
    ],
)
def test_invalid_event_is_poison_with_the_reason(value: bytes, reason: str) -> None:
    with pytest.raises(PoisonMessage, match=reason):
        CODEC.decode(value)
