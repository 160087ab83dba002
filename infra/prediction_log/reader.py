"""Reads a design's logged predictions, as the worker's sink writes them: `date=…/hour=…/part-*.parquet`.

The column `event` holds each event as JSON text. A file under its final name is complete.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from infra.errors import LabError, UsageError
from infra.prediction_log.results import Since

E = TypeVar("E")
FILES = "date=*/hour=*/*.parquet"


class PredictionLog(Generic[E]):
    """The predictions of one directory. Iteration reads file by file and yields `event(**fields)` per prediction.

    Iteration raises `LabError` if the sink has deleted a file, or if other code wrote an event.
    """

    def __init__(
        self, directory: Path, event: Callable[..., E], since: Since, limit: int, *, seed: int | None = None
    ) -> None:
        """Select at most `limit` predictions in `since`: the newest ones, or with a `seed` a random sample.

        Raises `UsageError` if there is no such prediction.
        """
        self._event = event
        self._files = sorted(directory.glob(FILES))
        parts = [_read(file, "request_ts") for file in self._files]
        when = np.concatenate(
            [part.to_numpy().astype("datetime64[us]").astype(np.int64) / 1e6 for part in parts] or [[]]
        )
        if not len(when):
            raise UsageError(
                f"the prediction log in {directory} is empty", hint="start the lab and run: lab live DESIGN"
            )
        file = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        row = np.concatenate([np.arange(len(part)) for part in parts])
        kept = np.flatnonzero(when >= since.first_ts(float(when.max())))
        kept = kept[np.argsort(when[kept], kind="stable")]
        if not len(kept):
            raise UsageError("the prediction log has no predictions in this period", hint="try: --since all")
        if seed is None:
            kept = kept[max(len(kept) - limit, 0) :]
        elif len(kept) > limit:
            kept = np.sort(np.random.default_rng(seed).choice(kept, limit, replace=False))
        self._places: npt.NDArray[np.int64] = np.stack([file[kept], row[kept]], axis=1)

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[E]:
        for number in dict.fromkeys(self._places[:, 0].tolist()):
            rows = self._places[self._places[:, 0] == number, 1]
            events = _read(self._files[number], "event")
            for text in events.take(rows).to_pylist():
                yield self._made(text, self._files[number])

    def _made(self, text: str, file: Path) -> E:
        return event_of(self._event, text, str(file))


def event_of(event: Callable[..., E], text: str, where: str) -> E:
    """The event that `text` holds as JSON. Raises `LabError` if other code wrote it; `where` names the file."""
    data = orjson.loads(text)
    try:
        return event(**data)
    except TypeError as exc:
        raise LabError(
            f"{where} has an unknown format, from another version of the code: {exc}", hint="choose a later --since"
        ) from exc


def _read(file: Path, column: str) -> pa.ChunkedArray:
    try:
        return pq.read_table(file, columns=[column], partitioning=None)[column]
    except FileNotFoundError:
        raise LabError(f"the service has just removed {file}, its oldest file", hint="choose a later --since") from None
