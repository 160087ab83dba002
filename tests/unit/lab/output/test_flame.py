"""The flame graph: its tree has the samples of the stacks, and its page their names and widths."""

from __future__ import annotations

from pathlib import Path

from infra.settings import REPOSITORY
from lab.load.profile import ProcessProfile
from lab.load.stacks import read_stacks
from lab.output.flame import call_tree, write_flames

LINES = [
    f"serve (/lib/uvicorn.py:1);rank ({REPOSITORY}/feed_ranking/online/rank.py:2) 60",
    f"serve (/lib/uvicorn.py:1);<listcomp> ({REPOSITORY}/infra/files.py:3) 40",
    "collect (/lib/gc.py:1) 100",
]


def test_tree_adds_up_the_samples_of_what_a_function_calls() -> None:
    tree = call_tree(read_stacks(LINES))
    serve = next(node for frame, node in tree.called.items() if frame.function == "serve")
    assert (tree.samples, serve.samples) == (200, 100)
    assert sorted(node.samples for node in serve.called.values()) == [40, 60]


def test_page_shows_each_function_with_its_share_and_width(tmp_path: Path) -> None:
    page = tmp_path / "flame.html"
    profile = ProcessProfile("feed_ranking", cpu_s=1.0, stacks=read_stacks(LINES))
    write_flames(page, "CPU time", "10 requests.", "feed_ranking", [profile])
    text = page.read_text()
    assert '<div style="width:60.000%"><span class="online" title="rank (feed_ranking/online/rank.py), 30.0%">' in text
    assert "&lt;listcomp&gt; (infra/files.py), 20.0%" in text
    assert "<listcomp>" not in text
    assert text.count("<div") == text.count("</div>")


def test_functions_too_narrow_to_see_are_left_out(tmp_path: Path) -> None:
    page = tmp_path / "flame.html"
    stacks = read_stacks(["often (a.py:1) 9999", "once (b.py:1) 1"])
    write_flames(page, "CPU time", "", "feed_ranking", [ProcessProfile("service", 1.0, stacks)])
    assert "often" in page.read_text()
    assert "once" not in page.read_text()
