"""The stages of every design that predicts one value keep the contract of the pipeline, tested on a built world."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from infra.faults.catalogue import STREAM
from infra.settings import Settings
from tests.support.harness import QUOTE_SUBJECTS, QuoteSubject

STAGES = ("driver", "snap", "route", "forecast", "predict", "quote")


@pytest.fixture(scope="module", params=QUOTE_SUBJECTS)
def subject(request: pytest.FixtureRequest, settings: Settings) -> QuoteSubject:
    return QUOTE_SUBJECTS[request.param](settings)


def is_same(one: Any, other: Any) -> bool:
    """Arrays and tuples of routes do not compare with ==."""
    return repr(one) == repr(other)


def test_trace_names_the_stages_in_order(subject: QuoteSubject) -> None:
    for query, origin, destination in subject.requests():
        _, trace = subject.service.answer(query, origin, destination)
        assert tuple(dict.fromkeys(stage.stage for stage in trace.stages)) == STAGES
        assert trace.degraded == []


def test_stages_leave_the_request_unchanged(subject: QuoteSubject) -> None:
    for query, origin, destination in subject.requests():
        before = {item.name: repr(getattr(query, item.name)) for item in fields(query)}
        answered, _ = subject.service.answer(query, origin, destination)
        assert before == {item.name: repr(getattr(query, item.name)) for item in fields(query)}
        for name in ("quote_id", "seed", "request_ts", "departure_ts", "ride_type", "driver_id", "knobs"):
            assert is_same(getattr(answered, name), getattr(query, name)), name


def test_quantiles_are_finite_and_in_order_with_every_knob(subject: QuoteSubject) -> None:
    for query, origin, destination in subject.requests():
        answered, _ = subject.service.answer(query, origin, destination)
        assert np.isfinite(answered.quantiles).all()
        assert (np.diff(answered.quantiles) > 0).all(), query.knobs
        assert answered.quantiles[0] > 0
        assert answered.quoted_s > 0


def test_same_query_gets_the_same_quote(subject: QuoteSubject) -> None:
    for (first, origin, destination), (second, *_) in zip(subject.requests(), subject.requests(), strict=True):
        again = second.but(request_ts=first.request_ts, departure_ts=first.departure_ts, quote_id=first.quote_id)
        one, other = (subject.service.answer(query, origin, destination)[0] for query in (first, again))
        assert one.quoted_s == other.quoted_s
        np.testing.assert_array_equal(one.quantiles, other.quantiles)
        np.testing.assert_array_equal(one.x, other.x)


def test_quote_does_not_depend_on_the_requests_before_it(subject: QuoteSubject) -> None:
    requests = subject.requests()
    one_by_one = [subject.service.answer(*request)[0].quoted_s for request in requests]
    backwards = [subject.service.answer(*request)[0].quoted_s for request in reversed(requests)]
    assert one_by_one == backwards[::-1]


@pytest.mark.parametrize("name", QUOTE_SUBJECTS)
def test_every_fault_degrades_a_request_and_stops_none(name: str, settings: Settings) -> None:
    """A fault that delays is tested elsewhere: here no request has a deadline that it could miss."""
    at_once = [fault for fault in QUOTE_SUBJECTS[name](settings).faults.faults if fault.name in ("down", "stale")]
    assert len(at_once) > 5
    for fault in (fault for fault in at_once if fault != STREAM):
        subject, reasons = QUOTE_SUBJECTS[name](settings), set()
        subject.faults.inject(fault.port, fault.name, 0.0)
        for query, origin, destination in subject.requests():
            answered, trace = subject.service.answer(query, origin, destination)
            assert np.isfinite(answered.quantiles).all(), fault
            assert (np.diff(answered.quantiles) > 0).all(), fault
            reasons |= set(trace.degraded)
        assert reasons, f"{fault.port} {fault.name} degrades no answer"
