"""Sampled stacks: how they are read, and which part of the code a sample counts for."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from lab.load.stacks import Frame, part_of, read_frame, read_stacks, samples_by_function, samples_by_part

REPOSITORY = Path("/home/someone/lab")
LIBRARY = "/home/someone/lab/.venv/lib/python3.12/site-packages"
THREAD = "_bootstrap (/usr/lib/python3.12/threading.py:1002)"
SERVICE = f"answer ({REPOSITORY}/feed_ranking/online/service.py:40)"
RANK = f"score ({REPOSITORY}/feed_ranking/online/rank.py:61)"
PAIRS = f"pair_inputs ({REPOSITORY}/feed_ranking/model/inputs/pairs.py:12)"
ONNX = f"run ({LIBRARY}/onnxruntime/capi/session.py:220)"
STREAM = f"send ({REPOSITORY}/infra/stream/producer.py:9)"
STARTS = f"serve_design ({REPOSITORY}/lab/services/serving.py:70)"
UVICORN = f"run_asgi ({LIBRARY}/uvicorn/protocols/http/httptools_impl.py:409)"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (PAIRS, Frame("pair_inputs", "feed_ranking/model/inputs/pairs.py", is_ours=True)),
        (ONNX, Frame("run", "onnxruntime/capi/session.py", is_ours=False)),
        (THREAD, Frame("_bootstrap", "threading.py", is_ours=False)),
        ("<lambda> (app.py:3)", Frame("<lambda>", "app.py", is_ours=False)),
        ("process 12", Frame("process 12", "", is_ours=False)),
    ],
)
def test_frame_is_read_as_function_and_file(text: str, expected: Frame) -> None:
    assert read_frame(text, REPOSITORY) == expected


@pytest.mark.parametrize(
    ("stack", "part"),
    [
        ([THREAD, SERVICE, RANK, PAIRS], "feed_ranking/online/rank"),
        ([THREAD, SERVICE, RANK, ONNX], "feed_ranking/online/rank"),
        ([UVICORN, SERVICE], "feed_ranking/online/service"),
        ([UVICORN, SERVICE, STREAM], "feed_ranking/online/service"),
        ([THREAD, STREAM], "infra/stream"),
        ([THREAD, STREAM, ONNX], "infra/stream"),
        ([THREAD, UVICORN], "uvicorn"),
        ([STARTS, UVICORN], "uvicorn"),
        ([THREAD], "threading"),
        (["run (/usr/lib/python3.12/asyncio/runners.py:118)"], "asyncio"),
        (["process 12"], "Python"),
    ],
)
def test_sample_counts_for_the_innermost_stage(stack: list[str], part: str) -> None:
    assert part_of([read_frame(frame, REPOSITORY) for frame in stack], "feed_ranking") == part


def test_samples_are_counted_by_part_and_by_innermost_function() -> None:
    lines = [f"{THREAD};{SERVICE};{RANK} 3", f"{THREAD};{SERVICE};{RANK};{PAIRS} 4", f"{THREAD};{STREAM} 2", ""]
    stacks = read_stacks(lines, REPOSITORY)
    assert stacks.total() == 9
    assert samples_by_part(stacks, "feed_ranking") == Counter({"feed_ranking/online/rank": 7, "infra/stream": 2})
    assert samples_by_function(stacks)["pair_inputs (feed_ranking/model/inputs/pairs.py)"] == 4


def test_waiting_threads_do_not_count() -> None:
    waits = "Condition.wait (/usr/lib/python3.12/threading.py:355)"
    idle = "_worker (/usr/lib/python3.12/concurrent/futures/thread.py:90)"
    lines = [f"{THREAD};{STREAM};{waits} 90", f"{THREAD};{idle} 80", f"{THREAD};{idle};{SERVICE} 7"]
    assert read_stacks(lines, REPOSITORY).total() == 7
