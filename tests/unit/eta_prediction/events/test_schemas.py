"""Ride events survive the codec unchanged, and their ids do not change when they are sent again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eta_prediction.events.codec import EDGES, INPUTS, edges_of, inputs_of, pack
from eta_prediction.events.schemas import TOPICS, Incident, Quote, SpeedsMade, Traversals, Trip, Weather, topics
from infra.stream.event import Codec, Event, PoisonMessage, encode
from tests.support.eta_events import START, incident, quote, trip, upload, weather

EVENTS: list[tuple[Event, type]] = [
    (quote(2**48), Quote),
    (trip(2**48), Trip),
    (upload(2**48, 3), Traversals),
    (incident(2**50), Incident),
    (incident(2**50, START + 60), Incident),
    (weather(), Weather),
    (SpeedsMade(7, START, "roads.npz", 12.5, 3), SpeedsMade),
]


@pytest.mark.parametrize(("event", "kind"), EVENTS, ids=[type(event).__name__ for event, _ in EVENTS])
def test_codec_restores_every_event_type(event: Event, kind: type) -> None:
    assert Codec.of(kind).read(encode("topic", event).value) == (event.event_id, event)


def test_event_sent_again_later_has_the_same_id() -> None:
    for event in (trip(), upload(), incident(), weather()):
        assert replace(event, received_ts=event.received_ts + 99).event_id == event.event_id


def test_events_of_one_trip_or_incident_have_different_ids_and_the_same_key() -> None:
    ends = [trip(status=status) for status in ("picked_up", "arrived", "cancelled")]
    assert len({event.event_id for event in ends}) == 3
    assert {event.key for event in ends} == {quote().key}
    assert incident().event_id != incident(cleared_ts=START + 1).event_id
    assert incident().key == incident(cleared_ts=START + 1).key
    assert len({upload(one, number).event_id for one in range(3) for number in range(12)}) == 36
    assert upload(1, 2).key == upload(1, 3).key == replace(upload(1, 2), vehicle_id=9).key


def test_event_with_another_version_or_invalid_fields_is_poison() -> None:
    body = orjson.loads(encode("topic", incident()).value)
    data = body["data"]
    for wrong in (
        body | {"version": 2},
        body | {"data": data | {"edge": "bridge"}},
        body | {"data": data | {"cleared_ts": None}},
        body | {"event_id": "1:cleared"},
    ):
        with pytest.raises(PoisonMessage):
            Codec.of(Incident).decode(orjson.dumps(wrong))


def test_topics_have_the_prefix_of_the_design() -> None:
    assert len(set(topics())) == 7
    assert all(name.startswith("eta_prediction.") for name in topics())
    assert TOPICS.dead_letters in topics()


@given(st.lists(st.floats(width=32, allow_nan=False), max_size=60), st.lists(st.integers(0, 2**31 - 1), max_size=60))
def test_inputs_and_routes_survive_json_bit_for_bit(x: list[float], edges: list[int]) -> None:
    inputs, route = np.array(x, np.float32), np.array(edges, np.int64)
    sent = orjson.loads(orjson.dumps({"x": pack(inputs, INPUTS), "edges": pack(route, EDGES)}))
    assert inputs_of(sent["x"]).tobytes() == inputs.tobytes()
    assert inputs_of(sent["x"]).shape == (1, len(x))
    np.testing.assert_array_equal(edges_of(sent["edges"]), route)
