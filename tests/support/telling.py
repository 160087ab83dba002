"""Load that sends posts and reactions to the feed and records the acknowledged ids; also reads the log of a worker.

The client sends a body again until the feed acknowledges it, as the API requires. So the stream carries duplicates.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from feed_ranking.events.schemas import MAX_PLACES
from lab.services.composing import Stack

WRITTEN = """
import json, sys
import pyarrow.parquet as pq
from infra.settings import Settings
from infra.stream.sink import files_of
design, folder, name = sys.argv[1:]
files = files_of(Settings().design_root(design) / "live" / folder)
read = [pq.read_table(file, columns=[name], partitioning=None)[name] for file in files]
print(json.dumps([value for column in read for value in column.to_pylist()]))
"""


def logged_ids(
    stack: Stack, folder: str, column: str, *, design: str = "feed_ranking", worker: str = "worker"
) -> list[int]:
    """Return the ids in the complete files of the design's live log, with repetitions."""
    found: list[int] = json.loads(
        stack.compose("exec", "-T", worker, "python", "-c", WRITTEN, design, folder, column, timeout_s=60)
    )
    return found


def new_post(creator_id: int = 7) -> dict[str, Any]:
    return {
        "post_id": secrets.randbits(50) + 2**50,
        "creator_id": creator_id,
        "topic": 0,
        "media": 0,
        "quality_signal": 0.5,
        "bait_signal": 0.0,
    }


def reactions_to(answer: dict[str, Any], user_id: int) -> list[dict[str, Any]]:
    """Return one reaction per item of the slate. The user clicks the first item only."""
    return [
        {
            "session_id": answer["slate_id"],
            "slate_id": answer["slate_id"],
            "user_id": user_id,
            "post_id": -1 if item["post_id"] is None else item["post_id"],
            "creator_id": -1 if item["creator_id"] is None else item["creator_id"],
            "ad_id": -1 if item["ad_id"] is None else item["ad_id"],
            "position": item["position"],
            "depth": item["position"],
            "creator_before": 0,
            "policy": answer["policy"],
            "propensity": item["propensity"],
            "request_ts": answer["request_ts"],
            "clicked": item["position"] == 0,
            "dwell_s": 3.0,
        }
        for item in answer["slate"]
    ]


@dataclass
class LoadResult:
    """Results of the load: ids of acknowledged posts and reactions, the number of refusals, the status of every slate
    request, and unexpected errors."""

    posts: list[int] = field(default_factory=list)
    reactions: list[int] = field(default_factory=list)
    refused: int = 0
    slate_statuses: list[int] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


@contextmanager
def acknowledged_load(url: str) -> Iterator[LoadResult]:
    """Request slates, publish posts and send reactions until the block ends."""
    result, is_over = LoadResult(), threading.Event()
    slates: list[dict[str, Any]] = []

    def ask(client: httpx.Client) -> None:
        response = client.post("/v1/feed", json={"user_id": 7, "k": 10})
        result.slate_statuses.append(response.status_code)
        if response.is_success:
            slates[:] = [response.json()]
        time.sleep(0.02)

    def publish(client: httpx.Client) -> None:
        post = new_post()
        if _accepted(client, "/v1/posts", {"posts": [post]}):
            result.posts.append(post["post_id"])

    def react(client: httpx.Client) -> None:
        time.sleep(0.05)
        if not slates:
            return
        answer = slates[0]
        reactions = reactions_to(answer, 7)
        impressions = [{key: item[key] for key in item if key not in ("clicked", "dwell_s")} for item in reactions]
        if _accepted(client, "/v1/events", {"impressions": impressions, "reactions": reactions}):
            result.reactions.extend(item["slate_id"] * MAX_PLACES + item["position"] for item in reactions)

    def _accepted(client: httpx.Client, path: str, body: dict[str, Any]) -> bool:
        while True:
            status = client.post(path, json=body).status_code
            if status == 202:
                return True
            if status != 503:
                result.errors.append(f"{path}: {status}")
                return False
            result.refused += 1
            if is_over.is_set():
                return False
            time.sleep(0.2)

    def run(step: Any) -> None:
        with httpx.Client(base_url=url, timeout=10) as client:
            while not is_over.is_set():
                try:
                    step(client)
                except httpx.HTTPError as exc:
                    result.errors.append(repr(exc))

    threads = [threading.Thread(target=run, args=(step,)) for step in (ask, publish, react)]
    for thread in threads:
        thread.start()
    try:
        yield result
    finally:
        is_over.set()
        for thread in threads:
            thread.join(30)
