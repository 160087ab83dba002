"""What an event is on the wire: a JSON object that says what it is, which version of it, who it is, and when it was.

A consumer that meets a version it does not know, or a body that does not fit, has met a *poison message*: `decode`
raises `PoisonMessage` with the reason, and the message goes to the dead letters instead of stopping the stream.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, ClassVar, Protocol, get_origin, get_type_hints

import orjson


class PoisonMessage(ValueError):
    """A message that no retry will make readable."""


class Event(Protocol):
    """A frozen dataclass of numbers, strings, lists and mappings. `SCHEMA` names it, `VERSION` is that of its fields,
    `key` keeps events of one entity in order; `event_id` is the same for every copy of the same event."""

    SCHEMA: ClassVar[str]
    VERSION: ClassVar[int]

    @property
    def event_id(self) -> str: ...

    @property
    def event_ts(self) -> float:
        """When it happened, in seconds since the epoch, UTC, by the world's clock."""
        ...

    @property
    def key(self) -> str: ...


@dataclass(frozen=True)
class Encoded:
    """An event ready to be sent."""

    topic: str
    key: bytes
    value: bytes
    event_id: str


def encode(topic: str, event: Event) -> Encoded:
    """The event as bytes. Raises `TypeError` for a field that JSON cannot carry."""
    data = {name: getattr(event, name) for name in _names(type(event))}
    body = {
        "schema": event.SCHEMA,
        "version": event.VERSION,
        "event_id": event.event_id,
        "event_ts": event.event_ts,
        "data": data,
    }
    value = orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)
    return Encoded(topic, event.key.encode(), value, event.event_id)


@cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(item.name for item in fields(kind))


@dataclass(frozen=True)
class Codec:
    """Reads events of the schemas that it is given."""

    kinds: Mapping[str, type]

    @classmethod
    def of(cls, *kinds: type) -> Codec:
        return cls({kind.SCHEMA: kind for kind in kinds})  # type: ignore[attr-defined]

    def decode(self, value: bytes) -> Any:
        """The event. Raises `PoisonMessage` with the reason where `value` is none."""
        return self.read(value)[1]

    def read(self, value: bytes) -> tuple[str, Any]:
        """Its id, which costs something to make, and the event; raises as `decode` does."""
        try:
            body = orjson.loads(value)
        except orjson.JSONDecodeError as exc:
            raise PoisonMessage(f"not JSON: {exc}") from exc
        if not isinstance(body, dict) or not isinstance(body.get("data"), dict):
            raise PoisonMessage("not an event: no object with `data`")
        schema = body.get("schema")
        kind: Any = self.kinds.get(schema) if isinstance(schema, str) else None
        if kind is None:
            raise PoisonMessage(f"unknown schema {schema!r:.60}")
        if body.get("version") != kind.VERSION:
            raise PoisonMessage(f"{kind.SCHEMA} version {body.get('version')!r}, this code reads {kind.VERSION}")
        event = _built(kind, body["data"])
        event_id: str = event.event_id
        if event_id != body.get("event_id"):
            raise PoisonMessage(f"{kind.SCHEMA} has the id {body.get('event_id')!r}, its fields say {event_id!r}")
        return event_id, event


def _built(kind: Any, data: dict[str, Any]) -> Any:
    """The event with these fields. Nearly all are written by `encode`, so one look at all types at once is enough."""
    shape = _shape(kind)
    if tuple(data) == shape.names and tuple(map(type, data.values())) == shape.types:
        return shape.make(data)  # numbers are finite: orjson reads no others
    if data.keys() != shape.hints.keys():
        raise PoisonMessage(f"{kind.SCHEMA} has other fields: {sorted(data.keys() ^ shape.hints.keys())}")
    return kind(**{name: _checked(kind.SCHEMA, name, data[name], hint) for name, hint in shape.hints.items()})


@dataclass(frozen=True)
class _Shape:
    """Names and types of an event's fields in order, as `encode` writes them."""

    hints: Mapping[str, Any]
    names: tuple[str, ...]
    types: tuple[type, ...]
    make: Callable[[dict[str, Any]], Any]


@cache
def _shape(kind: Any) -> _Shape:
    found = get_type_hints(kind)  # slow: annotations are text until they are asked for
    hints = {item.name: found[item.name] for item in fields(kind)}
    types = tuple(hint if hint in (int, bool, str, float) else _container(hint) for hint in hints.values())

    def from_dict(data: dict[str, Any]) -> Any:
        event = object.__new__(kind)
        object.__setattr__(event, "__dict__", data)  # `__init__` of a frozen dataclass takes 20 times as long
        return event

    is_plain = not hasattr(kind, "__slots__") and not hasattr(kind, "__post_init__")
    return _Shape(hints, tuple(hints), types, from_dict if is_plain else lambda data: kind(**data))


def _container(hint: Any) -> type:
    """What JSON makes of a field that is neither a number nor a string."""
    origin = get_origin(hint) or hint
    return dict if isinstance(origin, type) and issubclass(origin, Mapping) else list


def _checked(schema: str, name: str, value: Any, hint: Any) -> Any:
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    if hint in (int, bool, str) and type(value) is hint:
        return value
    if hint not in (int, bool, str, float) and isinstance(value, list | dict):
        return value
    raise PoisonMessage(f"{schema}.{name} is {value!r:.60}, not a {getattr(hint, '__name__', hint)}")
