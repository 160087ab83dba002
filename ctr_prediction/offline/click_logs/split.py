"""Splits a log: the last fifth is the test part, in the order of the file or of a column."""

from __future__ import annotations

import numpy as np

from ctr_prediction.offline.click_logs.encode import Rows
from ctr_prediction.offline.click_logs.read import Log
from infra.errors import LabError, UsageError

TESTED = 5
"""the test part is one row in this many"""


def split(log: Log, order: str | None = None) -> tuple[Rows, Rows]:
    """Training and test rows, both in order. Raises `LabError` if a part has only clicks or no clicks."""
    rows = np.arange(len(log))
    if order is not None:
        known = {column.field.name: column for column in log.columns}
        if order not in known or known[order].field.kind == "category":
            there = ", ".join(name for name, column in known.items() if column.field.kind != "category")
            raise UsageError(f"{order!r} is not a column of times or numbers", hint=f"choose one of: {there or 'none'}")
        # rows with equal times keep the order of the file
        rows = np.argsort(known[order].values, kind="stable")
    first = len(log) * (TESTED - 1) // TESTED
    parts = rows[:first], rows[first:]
    for name, part in zip(("training", "tested"), parts, strict=True):
        if len(set(log.clicked[part])) < 2:
            what = "clicks only" if log.clicked[part].any() else "no click"
            raise LabError(
                f"the {name} part of the log has {what}", hint="use a longer file, or a file in another order"
            )
    return parts
