"""Parts of a step in child processes: order, failures, and children that end with their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from infra.build.processes import cores, spread
from infra.errors import LabError
from tests.support.waiting import until

SLEEPER = """
import sys, time
from functools import partial
from pathlib import Path
from infra.build.processes import spread
from tests.unit.infra.build.test_processes import sleeper
if __name__ == "__main__":
    list(spread(partial(sleeper, Path(sys.argv[1])), [0, 1], 2))
"""


def squarer(offset: int) -> Callable[[int], tuple[int, int]]:
    return lambda part: (part**2 + offset, os.getpid())


def failing() -> Callable[[int], int]:
    def task(part: int) -> int:
        if part == 1:
            raise LabError("part 1 failed", hint="mend it")
        return part

    return task


def dying() -> Callable[[int], None]:
    return lambda part: os.kill(os.getpid(), signal.SIGKILL)


def sleeper(folder: Path) -> Callable[[int], None]:
    def task(part: int) -> None:
        (folder / str(os.getpid())).touch()
        signal.pause()

    return task


def test_results_come_in_the_order_of_the_parts_from_any_number_of_processes() -> None:
    expected = [part**2 + 1 for part in range(7)]
    for processes in (1, 2):
        found = list(spread(partial(squarer, 1), range(7), processes))
        assert [value for value, _ in found] == expected
        assert (os.getpid() in {process for _, process in found}) == (processes == 1)
    assert list(spread(partial(squarer, 1), [], 2)) == []


def test_failure_of_a_part_is_raised_after_the_results_before_it() -> None:
    found = spread(failing, range(4), 2)
    assert next(found) == 0
    with pytest.raises(LabError, match="part 1 failed"):
        next(found)


def test_killed_child_raises_an_error_with_a_hint() -> None:
    with pytest.raises(LabError, match="was killed") as caught:
        list(spread(dying, range(4), 2))
    assert "memory" in caught.value.hint


def test_task_with_arrays_is_refused() -> None:
    with pytest.raises(ValueError, match="too large"):
        list(spread(partial(np.ones(10_000).take), range(2), 2))


def test_children_end_with_a_killed_parent(tmp_path: Path) -> None:
    script, started = tmp_path / "sleeper.py", tmp_path / "started"
    script.write_text(SLEEPER)
    started.mkdir()
    parent = subprocess.Popen([sys.executable, script, started], env=os.environ | {"PYTHONPATH": str(Path.cwd())})
    try:
        until(lambda: len(list(started.iterdir())) == 2, "two children")
    finally:
        parent.kill()
        parent.wait()
    until(lambda: not any(is_running(int(file.name)) for file in started.iterdir()), "the end of the children")


def is_running(process: int) -> bool:
    status = Path(f"/proc/{process}/status")
    try:
        return "State:\tZ" not in status.read_text() if Path("/proc/self").exists() else os.kill(process, 0) is None
    except OSError:
        return False


def test_cores_are_bounded() -> None:
    assert 1 <= cores() <= 4
