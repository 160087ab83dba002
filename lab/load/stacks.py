"""What the sampled stacks of a process say: the share of its CPU time that each part of the code took.

A sample is a stack from its outermost to its innermost frame. It counts for one part: the innermost module of the
design's `online/` or `worker/` on the stack, because a stage of a request is such a module and what it calls belongs to
it. A stack without such a module counts for the innermost package of this repository, and a stack without any for the
innermost library. The module that starts a process is on every stack of its main thread, so it does not count.

A busy machine makes py-spy count threads that wait for a moment only. They use no CPU time, so they are left out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.settings import REPOSITORY

_FRAME = re.compile(r"^(?P<function>.*) \((?P<file>[^()]*?)(?::\d+)?\)$")
_STANDARD = re.compile(r"^.*/python3\.\d+/")
LIBRARIES, STARTS = "site-packages/", "lab/services/"
WAITS = {
    ("Condition.wait", "threading.py"),
    ("EpollSelector.select", "selectors.py"),
    ("KqueueSelector.select", "selectors.py"),
    ("_worker", "thread.py"),
    ("ProducerClient._report", "producer_client.py"),
}
"""Functions that wait when they are innermost, with their files."""


@dataclass(frozen=True)
class Frame:
    """A function, and its file: relative to the repository or to the folder of its library where possible."""

    function: str
    file: str
    is_ours: bool

    @property
    def label(self) -> str:
        return f"{self.function} ({self.file})" if self.file else self.function


Stack = tuple[Frame, ...]


def read_frame(text: str, repository: Path = REPOSITORY) -> Frame:
    """A frame as py-spy writes it: `function (file:line)`, or a name without a file."""
    found = _FRAME.match(text)
    if found is None:
        return Frame(text, "", is_ours=False)
    file = found["file"]
    if LIBRARIES in file:
        return Frame(found["function"], file.rpartition(LIBRARIES)[2], is_ours=False)
    if file.startswith(f"{repository}/"):
        return Frame(found["function"], file.removeprefix(f"{repository}/"), is_ours=True)
    return Frame(found["function"], _STANDARD.sub("", file), is_ours=False)


def read_stacks(lines: Iterable[str], repository: Path = REPOSITORY) -> Counter[Stack]:
    """Samples per stack that does not wait, from the raw format of py-spy: `outermost;…;innermost COUNT` a line."""
    stacks = Counter[Stack]()
    for line in lines:
        frames, _, count = line.rstrip().rpartition(" ")
        if frames:
            stack = tuple(read_frame(frame, repository) for frame in frames.split(";"))
            if not waits(stack[-1]):
                stacks[stack] += int(count)
    return stacks


def waits(frame: Frame) -> bool:
    return (frame.function, Path(frame.file).name) in WAITS


def part_of(stack: Sequence[Frame], design: str) -> str:
    """The part that a sample counts for."""
    ours = [frame.file for frame in stack if frame.is_ours and not frame.file.startswith(STARTS)]
    for file in reversed(ours):
        if file.startswith((f"{design}/online/", f"{design}/worker/")):
            return file.removesuffix(".py")
    if ours:
        return "/".join(Path(ours[-1]).parts[:2]).removesuffix(".py")
    return Path(stack[-1].file).parts[0].removesuffix(".py") if stack[-1].file else "Python"


def samples_by_part(stacks: Counter[Stack], design: str) -> Counter[str]:
    found = Counter[str]()
    for stack, count in stacks.items():
        found[part_of(stack, design)] += count
    return found


def samples_by_function(stacks: Counter[Stack]) -> Counter[str]:
    """Samples in which a function was the innermost one."""
    found = Counter[str]()
    for stack, count in stacks.items():
        found[stack[-1].label] += count
    return found
