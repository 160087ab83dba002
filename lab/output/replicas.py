"""Merges the rows that several replicas of a service list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

EVERY = "all"


def merge_rows(found: Mapping[str, Sequence[Mapping[str, Any]]], keys: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rows of all replicas, `found` by the replica's name, each once and in their order.

    If the replicas differ, `replica` becomes the first column: the names of the replicas with that row, or `all`.
    Rows with the same `keys` stand together. Values are hashable.
    """
    names: dict[tuple[tuple[str, Any], ...], list[str]] = {}
    for name, rows in found.items():
        for row in rows:
            names.setdefault(tuple(row.items()), []).append(name)
    if all(len(having) == len(found) for having in names.values()):
        return [dict(row) for row in names]
    about = [tuple(dict(row)[key] for key in keys) for row in names]
    merged = [
        {"replica": EVERY if len(having) == len(found) else ", ".join(having), **dict(row)}
        for row, having in names.items()
    ]
    order = sorted(range(len(merged)), key=lambda place: about.index(about[place]))
    return [merged[place] for place in order]
