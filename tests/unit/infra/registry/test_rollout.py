"""The rollout's state changes as a whole, only from the state that the writer has read, and one process moves it on."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from infra.registry.rollout import MOST_REJECTED, Lease, Rollout, read_rollout, rollout_file, write_rollout
from infra.registry.split import is_canary, position

BEGUN = Rollout(stage="shadow", version=3, digest="ab" * 32, release="/r", paths={"release": "/r"}, before=2)


def test_state_survives_the_file_and_counts_its_changes(tmp_path: Path) -> None:
    assert read_rollout(tmp_path) == Rollout()
    first = write_rollout(tmp_path, Rollout(), BEGUN)
    assert first is not None
    assert (first.number, read_rollout(tmp_path)) == (1, first)
    second = write_rollout(tmp_path, first, first.moved("canary", share=0.2, reason="fine").rejecting("ff", "bad"))
    assert second is not None
    found = read_rollout(tmp_path)
    assert (found.number, found.stage, found.share, found.rejected, found.version) == (
        2,
        "canary",
        0.2,
        {"ff": "bad"},
        3,
    )
    assert found.since >= first.since


def test_writer_with_an_old_state_changes_nothing(tmp_path: Path) -> None:
    first = write_rollout(tmp_path, Rollout(), BEGUN)
    assert first is not None
    assert write_rollout(tmp_path, first, first.moved("stopped")) is not None
    assert write_rollout(tmp_path, first, first.moved("promoted")) is None
    assert read_rollout(tmp_path).stage == "stopped"


def test_damaged_file_is_no_rollout_and_unknown_fields_are_ignored(tmp_path: Path) -> None:
    for text in ("{", "[]", '{"number": 4, "later": 1, "stage": "canary", "share": 0.5}'):
        rollout_file(tmp_path).write_text(text)
        found = read_rollout(tmp_path)
    assert (found.number, found.stage, found.share) == (4, "canary", 0.5)


def test_only_the_newest_rejected_models_are_remembered() -> None:
    rollout = BEGUN
    for number in range(MOST_REJECTED + 5):
        rollout = rollout.rejecting(str(number), "bad")
    assert len(rollout.rejected) == MOST_REJECTED
    assert "4" not in rollout.rejected
    assert "5" not in rollout.accepting("7").rejected or "7" not in rollout.accepting("7").rejected


def hold(root: Path, ready: multiprocessing.synchronize.Event, done: multiprocessing.synchronize.Event) -> None:
    lease = Lease(root)
    assert lease.take()
    ready.set()
    done.wait(30)


def test_lease_has_one_holder_and_ends_with_its_process(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    holder = context.Process(target=hold, args=(tmp_path, ready, done))
    holder.start()
    assert ready.wait(60)
    lease = Lease(tmp_path)
    assert not lease.take()
    holder.kill()
    holder.join()
    assert lease.take()
    assert lease.take(), "the holder keeps it"
    lease.give_back()
    assert Lease(tmp_path).take()


@given(unit=st.integers(0, 2**53), digest=st.text("0123456789abcdef", min_size=16, max_size=64))
def test_larger_share_keeps_the_users_of_a_smaller_one(unit: int, digest: str) -> None:
    shares = [share for share in (0.01, 0.05, 0.25, 0.5, 1.0) if is_canary(unit, digest, share)]
    assert shares == sorted({0.01, 0.05, 0.25, 0.5, 1.0})[-len(shares) :]
    assert 1.0 in shares
    assert not is_canary(unit, digest, 0.0)


def test_share_of_users_is_exact_and_differs_between_challengers() -> None:
    users = range(20_000)
    first = {user for user in users if is_canary(user, "ab" * 32, 0.05)}
    second = {user for user in users if is_canary(user, "cd" * 32, 0.05)}
    assert abs(len(first) / 20_000 - 0.05) < 0.006
    assert abs(len(first & second) / len(first) - 0.05) < 0.03
    assert 0.48 < sum(position(user, "ab" * 32) for user in users) / 20_000 < 0.52
