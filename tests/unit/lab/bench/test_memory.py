"""The memory of a build is that of all of its processes together."""

from __future__ import annotations

import subprocess
import sys

from lab.bench.memory import FamilyMemory

PARENT = """
import subprocess, sys
held = bytearray(60_000_000)
child = "import sys; held = bytearray(60_000_000); print('ready', flush=True); sys.stdin.read()"
process = subprocess.Popen([sys.executable, "-c", child])
process.wait()
"""


def test_memory_of_a_child_counts() -> None:
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        with FamilyMemory(process.pid) as memory:
            pass
        process.stdin.close()
    assert 120 <= memory.peak_mb < 200
    assert process.returncode == 0


def test_samples_end_with_the_process() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process, FamilyMemory(process.pid):
        process.wait()
    assert process.returncode == 0
