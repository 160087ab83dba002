"""Sums the sessions of champion and challenger since a canary's step began, from new files of the live log."""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from infra.columns import seconds
from infra.evaluation.sequential import Arm
from infra.telemetry.canary.source import Answers, CanarySource, Outcomes, joined
from infra.telemetry.drift.log_files import columns_of, new_files, tables_of
from infra.telemetry.drift.observed import Ints

NEW, OLD = 1, 0
"""indices of challenger and champion in `Answers.model`"""


@dataclass(frozen=True)
class Sessions:
    """All answers of both models and all outcomes since `begun_ns`, from files written until `read_ns`."""

    begun_ns: int
    read_ns: int
    answers: Answers
    outcomes: Outcomes

    @classmethod
    def since(cls, begun_ns: int) -> Sessions:
        return cls(begun_ns, begun_ns, Answers.none(), Outcomes.none())

    def arms(self, source: CanarySource, now_ts: float) -> tuple[Arm, Arm]:
        """(challenger, champion): the values of the sessions that are final at `now_ts` in world time.

        A session with answers of both models belongs to neither: its user changed the model when the share grew.
        """
        order = np.argsort(self.answers.id, kind="stable")
        ids, model, at_ts, user = (
            column[order] for column in (self.answers.id, self.answers.model, self.answers.at_ts, self.answers.user)
        )
        place = np.minimum(np.searchsorted(ids, self.outcomes.answer), max(len(ids) - 1, 0))
        is_known = ids[place] == self.outcomes.answer if len(ids) else np.zeros(len(place), np.bool_)
        place, session, value = place[is_known], self.outcomes.session[is_known], self.outcomes.value[is_known]
        if source.counts_silence:
            place = np.concatenate([place, np.arange(len(ids))])
            session, value = np.concatenate([session, ids]), np.concatenate([value, np.zeros(len(ids))])
        names, first, which = np.unique(session, return_index=True, return_inverse=True)
        if not len(names):
            return Arm(), Arm()
        total, rows, of_new = (
            np.bincount(which, values, len(names)) for values in (value, np.ones(len(which)), model[place])
        )
        newest = np.full(len(names), -np.inf)
        np.maximum.at(newest, which, at_ts[place])
        is_final = newest + source.settle_s <= now_ts
        owner, new, old = user[place[first]], is_final & (of_new == rows), is_final & (of_new == 0)
        return Arm.of_users(total[new], owner[new]), Arm.of_users(total[old], owner[old])

    def write(self, file: Path) -> None:
        columns = {f"answers_{item.name}": getattr(self.answers, item.name) for item in fields(Answers)}
        columns |= {f"outcomes_{item.name}": getattr(self.outcomes, item.name) for item in fields(Outcomes)}
        file.parent.mkdir(parents=True, exist_ok=True)
        aside = file.with_suffix(".partial")
        with aside.open("wb") as out:
            np.savez(out, times=np.array([self.begun_ns, self.read_ns], np.int64), **columns)
            out.flush()
            os.fsync(out.fileno())
        aside.rename(file)

    @classmethod
    def read(cls, file: Path, begun_ns: int) -> Sessions:
        """Empty without a file of this step."""
        try:
            with np.load(file, allow_pickle=False) as stored:
                if int(stored["times"][0]) == begun_ns:
                    answers = Answers(*(stored[f"answers_{item.name}"] for item in fields(Answers)))
                    outcomes = Outcomes(*(stored[f"outcomes_{item.name}"] for item in fields(Outcomes)))
                    return cls(begun_ns, int(stored["times"][1]), answers, outcomes)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            pass
        return cls.since(begun_ns)


def with_new_files(
    sessions: Sessions, source: CanarySource, live: Path, models: tuple[str, str], until_ns: int
) -> Sessions:
    """Add the rows of files written until `until_ns`; a damaged file is left out, so that it does not hold a rollout.
    `models` are the model versions (champion, challenger)."""
    answers, outcomes = [sessions.answers], [sessions.outcomes]
    columns = (source.id_column, "request_ts", "model_version", "is_shadow", *(["event"] if source.user_key else []))
    for table in columns_of(new_files(live / source.predictions, sessions.read_ns, until_ns), columns):
        answers.append(_answers(table, source, models))
    for folder in source.labels:
        for table in tables_of(new_files(live / folder, sessions.read_ns, until_ns)):
            outcomes.append(source.outcomes({folder: table}).summed())
    return Sessions(sessions.begun_ns, until_ns, Answers(**joined(answers)), Outcomes(**joined(outcomes)).summed())


def _answers(table: pa.Table, source: CanarySource, models: tuple[str, str]) -> Answers:
    """The answers of these models that users got."""
    version = np.array(table["model_version"].to_pylist(), object)
    model = np.select([version == models[OLD], version == models[NEW]], [OLD, NEW], -1).astype(np.int64)
    kept = (model >= 0) & ~table["is_shadow"].to_numpy()
    ids, at_ts = table[source.id_column].to_numpy().astype(np.int64), seconds(table["request_ts"].to_numpy())
    user = _users(table["event"].filter(pa.array(kept)), source.user_key) if source.user_key else ids[kept]
    return Answers(ids[kept], at_ts[kept], model[kept], user)


def _users(events: pa.ChunkedArray, key: str) -> Ints:
    """int64[n]: the users in the JSON texts of events, -1 where the text names none."""
    found = pc.extract_regex(events, f'"{key}":\\s*(?P<user>-?[0-9]+)')
    return np.asarray(pc.fill_null(pc.cast(pc.struct_field(found, "user"), pa.int64()), -1).to_numpy(), np.int64)
