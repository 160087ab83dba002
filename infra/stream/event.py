"""What an event is on the wire: a JSON object that says what it is, which version of it, who it is, and when it was.

A consumer that meets a version it does not know, or a body that does not fit, has met a *poison message*: `decode`
raises `PoisonMessage` with the reason, and the message goes to the dead letters instead of stopping the stream.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, ClassVar, Protocol, get_type_hints

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
    data = {item.name: getattr(event, item.name) for item in fields(event)}  # type: ignore[arg-type]
    body = {
        "schema": event.SCHEMA,
        "version": event.VERSION,
        "event_id": event.event_id,
        "event_ts": event.event_ts,
        "data": data,
    }
    value = orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)
    return Encoded(topic, event.key.encode(), value, event.event_id)


@dataclass(frozen=True)
class Codec:
    """Reads events of the schemas that it is given."""

    kinds: Mapping[str, type]

    @classmethod
    def of(cls, *kinds: type) -> Codec:
        return cls({kind.SCHEMA: kind for kind in kinds})  # type: ignore[attr-defined]

    def decode(self, value: bytes) -> Any:
        """The event. Raises `PoisonMessage` with the reason where `value` is none."""
        try:
            body = orjson.loads(value)
        except orjson.JSONDecodeError as exc:
            raise PoisonMessage(f"not JSON: {exc}") from exc
        if not isinstance(body, dict) or not isinstance(body.get("data"), dict):
            raise PoisonMessage("not an event: no object with `data`")
        kind: Any = self.kinds.get(body.get("schema", ""))
        if kind is None:
            raise PoisonMessage(f"unknown schema {body.get('schema')!r}")
        if body.get("version") != kind.VERSION:
            raise PoisonMessage(f"{kind.SCHEMA} version {body.get('version')!r}, this code reads {kind.VERSION}")
        event = _built(kind, body["data"])
        if event.event_id != body.get("event_id"):
            raise PoisonMessage(f"{kind.SCHEMA} has the id {body.get('event_id')!r}, its fields say {event.event_id!r}")
        return event


def _built(kind: Any, data: Mapping[str, Any]) -> Any:
    hints = _field_types(kind)
    if data.keys() != hints.keys():
        raise PoisonMessage(f"{kind.SCHEMA} has other fields: {sorted(data.keys() ^ hints.keys())}")
    return kind(**{name: _checked(kind.SCHEMA, name, data[name], hint) for name, hint in hints.items()})


@cache
def _field_types(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind)  # slow: annotations are text until they are asked for
    return {item.name: hints[item.name] for item in fields(kind)}


def _checked(schema: str, name: str, value: Any, hint: Any) -> Any:
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    if hint in (int, bool, str) and type(value) is hint:
        return value
    if hint not in (int, bool, str, float) and isinstance(value, list | dict):
        return value
    raise PoisonMessage(f"{schema}.{name} is {value!r:.60}, not a {getattr(hint, '__name__', hint)}")
