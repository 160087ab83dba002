"""Writes sampled stacks as a flame graph: one HTML page without scripts from elsewhere.

A box is a function, its width the share of the samples in which the function was on the stack. The boxes below it are
the functions that it called. A click on a box widens it to the whole page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from string import Template

from infra.files import write_atomically
from lab.load.profile import ProcessProfile
from lab.load.stacks import Frame, Stack

NARROWEST = 0.002
"""Boxes below this share of a process's samples are left out."""
_PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>$title</title><style>
body { font: 14px/1.4 system-ui, sans-serif; margin: 1.5rem; color: #222; background: #fff }
.flame { font-size: 11px; margin-bottom: 2rem } .flame div { display: flex; flex-direction: column; min-width: 0 }
.flame .below { flex-direction: row }
.flame span { overflow: hidden; white-space: nowrap; text-overflow: ellipsis; padding: 0 2px; height: 16px;
  line-height: 16px; border: 1px solid #fff; border-radius: 2px; cursor: pointer; background: #e4e4e4 }
.flame span.ours { background: #ffc46b } .flame span.online { background: #ff8f5e }
.flame .wide { width: 100% !important } .flame .gone { display: none !important }
</style></head><body><h1>$title</h1>
<p>$text A box is a function, and its width is the share of the samples in which the function ran or waited for a
function that it had called; the boxes below are those functions. Orange: stages of the design and its worker; yellow:
other code of this repository; grey: libraries. Point at a box to read its name. Click on a box to widen it, and on the
first box to see all.</p>
$parts
<script>
for (const box of document.querySelectorAll(".flame span")) box.onclick = () => {
  const flame = box.closest(".flame");
  for (const div of flame.querySelectorAll(".wide, .gone")) div.classList.remove("wide", "gone");
  for (let div = box.parentElement; div.parentElement !== flame; div = div.parentElement)
    if (div.parentElement.classList.contains("below")) {
      div.classList.add("wide");
      for (const other of div.parentElement.children) if (other !== div) other.classList.add("gone");
    }
};
</script></body></html>
""")


@dataclass
class Node:
    """A function in its place of the call tree, with the samples of itself and of what it called."""

    frame: Frame
    samples: int = 0
    called: dict[Frame, Node] = field(default_factory=dict)


def call_tree(stacks: Counter[Stack]) -> Node:
    """All stacks as one tree. Its root stands for the process."""
    root = Node(Frame("all threads", "", is_ours=False))
    for stack, count in stacks.items():
        node = root
        node.samples += count
        for frame in stack:
            node = node.called.setdefault(frame, Node(frame))
            node.samples += count
    return root


def write_flames(page: Path, title: str, text: str, design: str, profiles: Sequence[ProcessProfile]) -> None:
    """Write one flame graph for each process."""
    parts = []
    for profile in profiles:
        tree = call_tree(profile.stacks)
        boxes = "".join(_boxes(tree, tree.samples, 100.0, design))
        parts.append(f'<h2>{escape(profile.name)}</h2><div class="flame">{boxes}</div>')
    write_atomically(page, _PAGE.substitute(title=escape(title), text=escape(text), parts="\n".join(parts)))


def _boxes(node: Node, total: int, width: float, design: str) -> Iterator[str]:
    name = f"{node.frame.label}, {node.samples / max(total, 1):.1%}"
    yield f'<div style="width:{width:.3f}%"><span class="{_kind(node.frame, design)}" title="{escape(name)}">'
    yield f'{escape(name)}</span><div class="below">'
    for below in sorted(node.called.values(), key=lambda one: -one.samples):
        if below.samples >= NARROWEST * total:
            yield from _boxes(below, total, 100 * below.samples / node.samples, design)
    yield "</div></div>"


def _kind(frame: Frame, design: str) -> str:
    if frame.file.startswith((f"{design}/online/", f"{design}/worker/")):
        return "online"
    return "ours" if frame.is_ours else "library"
