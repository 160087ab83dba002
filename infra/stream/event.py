"""Wire format of events: a JSON object with schema, version, event id, event time and data.

A message with an unknown version or a body that does not match its schema is a *poison message*. `decode` raises
`PoisonMessage` with the reason. The consumer moves the message to the dead letters and continues.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, ClassVar, Protocol, get_origin, get_type_hints

import orjson


class PoisonMessage(ValueError):
    """A message that cannot be decoded, however often it is retried."""


class Event(Protocol):
    """A frozen dataclass of numbers, strings, lists and mappings.

    `SCHEMA` names the event type, and `VERSION` is the version of its fields. Events with the same `key` stay in order.
    Every copy of an event has the same `event_id`.
    """

    SCHEMA: ClassVar[str]
    VERSION: ClassVar[int]

    @property
    def event_id(self) -> str: ...

    @property
    def event_ts(self) -> float:
        """Event time in seconds since the epoch, UTC, by the world's clock."""
        ...

    @property
    def key(self) -> str: ...


@dataclass(frozen=True)
class Encoded:
    """An event as bytes, with its topic, key and id."""

    topic: str
    key: bytes
    value: bytes
    event_id: str


def encode(topic: str, event: Event) -> Encoded:
    """Encode an event as JSON. Raises `TypeError` for a field that JSON cannot represent."""
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
    """Decodes events. `kinds` maps a schema name to its event class."""

    kinds: Mapping[str, type]

    @classmethod
    def of(cls, *kinds: type) -> Codec:
        return cls({kind.SCHEMA: kind for kind in kinds})  # type: ignore[attr-defined]

    def decode(self, value: bytes) -> Any:
        """Decode one event. Raises `PoisonMessage` with the reason if `value` is not a valid event."""
        return self.read(value)[1]

    def read(self, value: bytes) -> tuple[str, Any]:
        """Decode one event and return (id, event). Raises `PoisonMessage` as `decode` does.

        The id is returned because computing `event_id` a second time is expensive.
        """
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
            raise PoisonMessage(
                f"{kind.SCHEMA} has version {body.get('version')!r}, this code reads version {kind.VERSION}"
            )
        event = _built(kind, body["data"])
        event_id: str = event.event_id
        if event_id != body.get("event_id"):
            raise PoisonMessage(f"{kind.SCHEMA} has the id {body.get('event_id')!r}, its fields give {event_id!r}")
        return event_id, event


def _built(kind: Any, data: dict[str, Any]) -> Any:
    """Construct the event from its fields.

    Fast path: `encode` wrote nearly every message, so one comparison of all names and types is enough.
    """
    shape = _shape(kind)
    if tuple(data) == shape.names and tuple(map(type, data.values())) == shape.types:
        return shape.make(data)  # numbers are finite: orjson rejects NaN and infinity
    if data.keys() != shape.hints.keys():
        raise PoisonMessage(f"{kind.SCHEMA} has missing or unknown fields: {sorted(data.keys() ^ shape.hints.keys())}")
    return kind(**{name: _checked(kind.SCHEMA, name, data[name], hint) for name, hint in shape.hints.items()})


@dataclass(frozen=True)
class _Shape:
    """Names and JSON types of an event's fields, in the order in which `encode` writes them."""

    hints: Mapping[str, Any]
    names: tuple[str, ...]
    types: tuple[type, ...]
    make: Callable[[dict[str, Any]], Any]


@cache
def _shape(kind: Any) -> _Shape:
    found = get_type_hints(kind)  # slow: it evaluates annotations that are stored as text
    hints = {item.name: found[item.name] for item in fields(kind)}
    types = tuple(hint if hint in (int, bool, str, float) else _container(hint) for hint in hints.values())

    def from_dict(data: dict[str, Any]) -> Any:
        event = object.__new__(kind)
        object.__setattr__(event, "__dict__", data)  # `__init__` of a frozen dataclass is 20 times slower
        return event

    is_plain = not hasattr(kind, "__slots__") and not hasattr(kind, "__post_init__")
    return _Shape(hints, tuple(hints), types, from_dict if is_plain else lambda data: kind(**data))


def _container(hint: Any) -> type:
    """The Python type that JSON decodes a container field to: dict or list."""
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
