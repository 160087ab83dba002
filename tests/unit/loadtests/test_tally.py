"""The tally gives every request one outcome and computes latency percentiles."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from loadtests.tally import Tally, outcome_of, quantile


@dataclass
class Response:
    status_code: int
    body: dict[str, Any]
    ms: float = 10.0
    failures: list[str] = field(default_factory=list)

    @property
    def request_meta(self) -> dict[str, float]:
        return {"response_time": self.ms}

    def json(self) -> dict[str, Any]:
        return self.body

    def failure(self, text: str) -> None:
        self.failures.append(text)


GOOD: dict[str, Any] = {"slate": [1], "degraded": []}


@pytest.mark.parametrize(
    ("status", "is_empty", "outcome"),
    [
        (200, False, "ok"),
        (200, True, "wrong"),
        (503, True, "shed"),
        (0, True, "unanswered"),
        (500, True, "wrong"),
        (422, True, "wrong"),
        (421, True, "wrong"),
    ],
)
def test_each_answer_has_one_outcome(status: int, is_empty: bool, outcome: str) -> None:
    assert outcome_of(status, is_empty=is_empty) == outcome


def test_tally_returns_only_good_answers_and_its_outcomes_sum_to_all_requests() -> None:
    tally = Tally()
    responses = [
        Response(200, GOOD, 10.0),
        Response(200, GOOD | {"degraded": ["store"]}, 300.0),
        Response(200, {"slate": [], "degraded": []}),
        Response(503, {}),
        Response(0, {}),
    ]
    answers = [tally.take(response, "slate") for response in responses]
    assert [bool(answer) for answer in answers] == [True, True, False, False, False]
    assert [bool(response.failures) for response in responses] == [False, False, True, True, True]
    tally.late_ms += [1.0, 2.0]
    found = tally.figures(200.0, seconds=2.0)
    assert found["requests"] == found["ok"] + found["shed"] + found["unanswered"] + found["wrong"] == 5
    assert (found["ok"], found["degraded"], found["in_limit"]) == (2, 1, 1)
    assert (found["served_per_s"], found["late_p99_ms"], found["ok_p99_ms"]) == (1.0, 2.0, 300.0)


def test_good_answers_of_another_kind_count_apart_and_failed_ones_do_not() -> None:
    tally = Tally()
    for response, kind in (
        (Response(200, GOOD, 10.0), ""),
        (Response(200, GOOD, 90.0), "batch"),
        (Response(503, {}), "batch"),
    ):
        tally.take(response, "slate", kind)
    found = tally.figures(50.0, seconds=1.0)
    assert (found["requests"], found["ok"], found["shed"]) == (2, 1, 1)
    assert (found["ok_p99_ms"], found["batch_p99_ms"]) == (10.0, 90.0)


def test_quantile_is_one_of_the_values() -> None:
    assert [quantile(range(1, 101), share) for share in (0.5, 0.99, 1.0)] == [50, 99, 100]
    assert quantile([], 0.99) == 0.0
