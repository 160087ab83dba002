"""One query of the routing binding per thread, kept for the next search of the thread.

A query allocates arrays as long as the hierarchy, so a search with a new query takes a third longer than one with a
kept query. A thread keeps the query of its last search. A search of another engine, or after an update, replaces it.
The thread that created a query also destroys it, because the binding demands that.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from routingkit_cch import CCHMetric, CCHQuery


@dataclass
class Customized:
    """Edge times in a hierarchy. `searches` is the number of running searches with a query of their own, and `kept` the
    number of queries that threads keep. `changed` guards both."""

    metric: CCHMetric
    changed: threading.Condition
    searches: int = 0
    kept: int = 0


class _Thread(threading.local):
    query: Any = None
    customized: Customized | None = None


_thread = _Thread()


def kept_query(served: Callable[[], Customized]) -> CCHQuery:
    """The query of this thread for what `served` returns: the edge times that an engine serves.

    No update resets edge times while a query of theirs is kept.
    """
    if _thread.query is None or served() is not _thread.customized:
        drop_kept_query()
        with (now := served()).changed:  # all edge times of an engine share the condition
            now = served()
            now.kept += 1
        _thread.customized = now  # before the query: if the binding fails, the next call takes `kept` back
        _thread.query = CCHQuery(now.metric)
    query: CCHQuery = _thread.query
    return query


def drop_kept_query() -> None:
    """Destroy the query of this thread, if there is one."""
    last, _thread.query, _thread.customized = _thread.customized, None, None
    if last is not None:
        with last.changed:
            last.kept -= 1
