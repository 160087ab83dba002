"""Rows that all replicas list are shown once; a row in which they differ names its replicas."""

from __future__ import annotations

from typing import Any

from lab.output.replicas import merge_rows

KEYS = ("port", "fault")


def row(fault: str, *, active: bool = False) -> dict[str, Any]:
    return {"port": "index", "fault": fault, "active": active}


def test_equal_rows_are_listed_once_and_without_a_replica() -> None:
    rows = [row("slow"), row("down", active=True)]
    assert merge_rows({"feed": rows, "feed-2": [dict(one) for one in rows]}, KEYS) == rows
    assert merge_rows({"feed": rows}, KEYS) == rows


def test_row_in_which_replicas_differ_names_them() -> None:
    calm, broken = [row("slow"), row("down"), row("hang")], [row("slow"), row("down", active=True), row("hang")]
    assert merge_rows({"feed": calm, "feed-2": broken, "feed-3": calm}, KEYS) == [
        {"replica": "all", **row("slow")},
        {"replica": "feed, feed-3", **row("down")},
        {"replica": "feed-2", **row("down", active=True)},
        {"replica": "all", **row("hang")},
    ]


def test_row_of_one_replica_alone_names_it() -> None:
    assert merge_rows({"feed": [row("slow")], "feed-2": [row("slow"), row("new")]}, KEYS) == [
        {"replica": "all", **row("slow")},
        {"replica": "feed-2", **row("new")},
    ]
