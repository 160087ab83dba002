"""`lab bench stream` computes losses, rates and latency ratios from its measurements."""

from __future__ import annotations

import math
import socket
from pathlib import Path
from statistics import median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.errors import LabError, UsageError
from infra.evaluation.figures import Bound
from infra.settings import Settings
from infra.stream.address import StreamAddress
from lab.bench.broker import reactions
from lab.bench.stream.kills import Losses, losses
from lab.bench.stream.run import STREAM_BOUNDS, measure_stream, of_pairs, worst
from lab.bench.stream.serving import Pair, p99_ms, ratio_of_medians
from lab.bench.stream.speed import Pace
from lab.bench.stream.victim import Orders
from lab.drills.load import Sent
from lab.services.ports import free_port


def test_unknown_figure_is_rejected_before_measuring(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no figure p99_ms"):
        measure_stream(["p99_ms"], 1, Settings(home=tmp_path))


def test_stream_bounds_have_unique_ids() -> None:
    assert len({bound.id for bound in STREAM_BOUNDS}) == len(STREAM_BOUNDS)


def test_losses_are_zero_when_every_message_appears_once() -> None:
    assert losses([1, 2, 3], [3, 1, 2], [b"p"], [b"p", b"p"]) == Losses(lost=0, doubled=0)


@given(
    acked=st.sets(st.integers(0, 50), min_size=1),
    missing=st.sets(st.integers(0, 50)),
    again=st.lists(st.integers(0, 50), max_size=5),
)
@settings(deadline=None, max_examples=100)
def test_losses_count_missing_and_duplicate_messages(acked: set[int], missing: set[int], again: list[int]) -> None:
    written = sorted(acked - missing)
    more = [number for number in again if number in written]
    found = losses(acked, [*written, *more], [b"p", b"q"], [b"q"])
    assert found == Losses(lost=len(acked & missing) + 1, doubled=len(more))


def test_unacknowledged_messages_do_not_count_as_lost() -> None:
    assert losses([1], [1, 2], [], []) == Losses(0, 0)


def test_worst_round_is_the_figure() -> None:
    bound = Bound("lost", "lost", "", "<= 0")
    assert worst(bound, [0.0, 0.0]).met is True
    assert worst(bound, [0.0, 1.0]).met is False


def test_pace_excludes_the_first_batch() -> None:
    pace = Pace(wanted=300)
    pace.batch(100)
    pace.batch(200)
    pace.began_s, pace.ended_s = 10.0, 12.0
    assert pace.done.is_set()
    assert pace.per_s == 100.0


@pytest.mark.parametrize("batches", [[100], [300], [100, 100]])
def test_incomplete_or_single_batch_pace_raises(batches: list[int]) -> None:
    pace = Pace(wanted=300)
    for size in batches:
        pace.batch(size)
    with pytest.raises(LabError):
        assert pace.per_s


def sent(latency_ms: float, status: int = 200) -> Sent:
    return Sent(0, 0.0, latency_ms, status, (), {})


def test_p99_treats_rejected_requests_as_infinitely_slow() -> None:
    assert p99_ms([sent(10.0)] * 200) == 10.0
    assert p99_ms([sent(10.0)] * 199 + [sent(1.0, 503)]) == 10.0
    assert p99_ms([sent(10.0)] * 190 + [sent(1.0, 503)] * 10) == math.inf
    with pytest.raises(LabError):
        p99_ms([])


@given(pairs=st.lists(st.tuples(st.floats(1, 1e3), st.floats(1, 1e3)), min_size=1, max_size=8))
@settings(deadline=None, max_examples=30)
def test_ratio_of_medians_matches_and_its_interval_stays_in_range(
    pairs: list[tuple[float, float]],
) -> None:
    value, low, high = ratio_of_medians([Pair(up, down) for up, down in pairs])
    ups, downs = [up for up, _ in pairs], [down for _, down in pairs]
    assert value == pytest.approx(median(downs) / median(ups))
    assert min(downs) / max(ups) <= low <= high <= max(downs) / min(ups)


def test_identical_pairs_have_an_interval_of_zero_width() -> None:
    figure = of_pairs(Bound("r", "ratio", "×", "<= 1.3", "<= 1.1"), [Pair(20.0, 30.0)] * 6)
    assert (figure.low, figure.value, figure.high, figure.met) == (1.5, 1.5, 1.5, False)


def test_orders_survive_a_round_trip_to_text() -> None:
    orders = Orders(StreamAddress("127.0.0.1:1", "e", is_embedded=True), "t", "d", "/somewhere", 3)
    assert Orders.of_text(orders.as_text()) == orders


def test_reactions_have_unique_ids_across_seeds() -> None:
    some, others = (reactions(500, seed, now_s=1e9) for seed in (1, 2))
    assert len({event.event_id for event in (*some, *others)}) == 1000
    assert [event.label_ts for event in some] == sorted(event.label_ts for event in some)


def test_free_port_and_the_next_port_are_free() -> None:
    port = free_port()
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", port))
        second.bind(("127.0.0.1", port + 1))
