"""Sessions belong to the model that gave their answers, count once they are final, and survive a restart."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.columns import timestamps
from infra.telemetry.canary.sessions import Sessions, with_new_files
from infra.telemetry.canary.source import Outcomes

MODELS = ("tiny/1", "tiny/2")


class Source:
    predictions, id_column, user_key, labels = "predictions", "answer_id", "", ("labels",)
    measure, settle_s, counts_silence = "clicks per session", 30.0, False

    def outcomes(self, tables: dict[str, pa.Table]) -> Outcomes:
        table = tables["labels"]
        answer, session = (table[name].to_numpy() for name in ("answer", "session"))
        return Outcomes(answer, session, table["value"].to_numpy())


class OfUsers(Source):
    user_key = "user_id"


class Silent(Source):
    counts_silence = True


def write(root: Path, folder: str, columns: dict[str, object]) -> None:
    at = root / folder / "date=2026-01-01" / "hour=00"
    at.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), at / f"part-x-{time.time_ns():020d}.parquet")


def answers(root: Path, ids: list[int], model: str, at_ts: float = 0.0, *, is_shadow: bool = False) -> None:
    columns = {
        "answer_id": ids,
        "request_ts": timestamps(np.full(len(ids), at_ts)),
        "model_version": [model] * len(ids),
        "is_shadow": [is_shadow] * len(ids),
    }
    write(root, "predictions", columns)


def answers_to(root: Path, users: dict[int, int], model: str) -> None:
    """`users`: id of an answer -> its user."""
    columns = {
        "answer_id": list(users),
        "request_ts": timestamps(np.zeros(len(users))),
        "model_version": [model] * len(users),
        "is_shadow": [False] * len(users),
        "event": [f'{{"answer_id":{one},"user_id":{user},"k":20}}' for one, user in users.items()],
    }
    write(root, "predictions", columns)


def labels(root: Path, rows: list[tuple[int, int, float]]) -> None:
    answer, session, value = zip(*rows, strict=True)
    write(root, "labels", {"answer": list(answer), "session": list(session), "value": list(value)})


def looked(root: Path, before: Sessions, source: Source) -> Sessions:
    return with_new_files(before, source, root, MODELS, time.time_ns())


def test_sessions_are_summed_by_model(tmp_path: Path) -> None:
    answers(tmp_path, [1, 2, 3], MODELS[0])
    answers(tmp_path, [4, 5], MODELS[1])
    answers(tmp_path, [9], "tiny/0")
    labels(tmp_path, [(1, 10, 1.0), (2, 10, 2.0), (3, 11, 0.0), (4, 20, 5.0), (4, 20, 1.0), (5, 21, 1.0), (9, 30, 9.0)])
    new, old = looked(tmp_path, Sessions.since(0), Source()).arms(Source(), 100.0)
    assert (old.n, old.total, old.squares) == (2, 3.0, 9.0)
    assert (new.n, new.total, new.squares) == (2, 7.0, 37.0)


def test_sessions_of_a_user_are_not_independent(tmp_path: Path) -> None:
    """Two users with four sessions each: the mean is as uncertain as the users' means."""
    answers_to(tmp_path, {number: 7 if number < 4 else 8 for number in range(8)}, MODELS[1])
    labels(tmp_path, [(number, number, 1.0 if number < 4 else 3.0) for number in range(8)])
    new, _ = looked(tmp_path, Sessions.since(0), OfUsers()).arms(OfUsers(), 100.0)
    assert (new.n, new.users, new.mean) == (8, 2, 2.0)
    assert new.variance / new.n == pytest.approx(np.var([1.0, 3.0], ddof=1) / 2)
    each, _ = looked(tmp_path, Sessions.since(0), Source()).arms(Source(), 100.0)
    assert each.variance / each.n < 0.5 * new.variance / new.n


def test_answer_whose_event_names_no_user_counts(tmp_path: Path) -> None:
    answers_to(tmp_path, {1: 7, 2: 8}, MODELS[1])
    columns = {"answer_id": [3], "request_ts": timestamps(np.zeros(1)), "model_version": [MODELS[1]]}
    write(tmp_path, "predictions", columns | {"is_shadow": [False], "event": ["torn"]})
    labels(tmp_path, [(number, number, 1.0) for number in (1, 2, 3)])
    new, _ = looked(tmp_path, Sessions.since(0), OfUsers()).arms(OfUsers(), 100.0)
    assert (new.n, new.users, new.total) == (3, 3, 3.0)


def test_label_that_arrives_before_its_answer_counts_and_reading_goes_on(tmp_path: Path) -> None:
    labels(tmp_path, [(4, 20, 5.0)])
    first = looked(tmp_path, Sessions.since(0), Source())
    assert first.arms(Source(), 100.0)[0].n == 0
    first.write(tmp_path / "state" / "sessions.npz")
    answers(tmp_path, [4], MODELS[1])
    labels(tmp_path, [(4, 20, 1.0)])
    again = looked(tmp_path, Sessions.read(tmp_path / "state" / "sessions.npz", 0), Source())
    assert (again.arms(Source(), 100.0)[0].n, again.arms(Source(), 100.0)[0].total) == (1, 6.0)


def test_session_of_a_user_who_changed_the_model_counts_for_neither(tmp_path: Path) -> None:
    answers(tmp_path, [1], MODELS[0])
    answers(tmp_path, [2], MODELS[1])
    labels(tmp_path, [(1, 10, 1.0), (2, 10, 1.0)])
    new, old = looked(tmp_path, Sessions.since(0), Source()).arms(Source(), 100.0)
    assert (new.n, old.n) == (0, 0)


def test_session_counts_only_once_it_is_final(tmp_path: Path) -> None:
    answers(tmp_path, [1], MODELS[1], at_ts=80.0)
    labels(tmp_path, [(1, 10, 1.0)])
    found = looked(tmp_path, Sessions.since(0), Source())
    assert found.arms(Source(), 109.0)[0].n == 0
    assert found.arms(Source(), 110.0)[0].n == 1


def test_silent_answers_count_as_zero_where_silence_is_an_outcome(tmp_path: Path) -> None:
    answers(tmp_path, [1, 2, 3], MODELS[1])
    answers(tmp_path, [4], MODELS[1], is_shadow=True)
    labels(tmp_path, [(1, 1, 1.0)])
    new, _ = looked(tmp_path, Sessions.since(0), Silent()).arms(Silent(), 100.0)
    assert (new.n, new.total) == (3, 1.0)


def test_damaged_files_are_left_out_and_the_others_count(tmp_path: Path) -> None:
    for folder in ("predictions", "labels"):
        at = tmp_path / folder / "date=2026-01-01" / "hour=00"
        at.mkdir(parents=True)
        (at / f"part-x-{time.time_ns():020d}.parquet").write_bytes(b"no Parquet")
    answers(tmp_path, [1], MODELS[1])
    labels(tmp_path, [(1, 10, 1.0)])
    new, _ = looked(tmp_path, Sessions.since(0), Source()).arms(Source(), 100.0)
    assert (new.n, new.total) == (1, 1.0)


def test_state_of_an_earlier_step_and_a_damaged_one_are_not_used(tmp_path: Path) -> None:
    answers(tmp_path, [1], MODELS[1])
    file = tmp_path / "sessions.npz"
    looked(tmp_path, Sessions.since(0), Source()).write(file)
    assert len(Sessions.read(file, 0).answers.id) == 1
    assert (Sessions.read(file, 7).read_ns, len(Sessions.read(file, 7).answers.id)) == (7, 0)
    whole = file.read_bytes()
    for damaged in (b"no archive", b"", whole[: len(whole) // 2]):
        file.write_bytes(damaged)
        assert Sessions.read(file, 0).read_ns == 0
