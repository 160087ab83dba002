"""The peak memory of a step leaves out what the process held before the step."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from infra.build import peak
from infra.build.peak import peak_memory_mb, reset_peak

STEPS = """
from infra.build.peak import peak_memory_mb, reset_peak
reset_peak()
large = bytearray(200_000_000)
first = peak_memory_mb()
del large
reset_peak()
small = bytearray(20_000_000)
print(first, peak_memory_mb())
"""


@pytest.mark.skipif(not peak.CLEAR.exists(), reason="only Linux forgets a peak")
def test_second_step_has_a_peak_of_its_own() -> None:
    done = subprocess.run([sys.executable, "-c", STEPS], capture_output=True, text=True, check=True, timeout=300)
    first, second = map(float, done.stdout.split())
    assert first > 200
    assert 20 < second < 150


def test_without_proc_the_peak_is_that_of_the_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(peak, "CLEAR", tmp_path / "none" / "clear_refs")
    monkeypatch.setattr(peak, "STATUS", tmp_path / "none" / "status")
    before = peak_memory_mb()
    reset_peak()
    assert peak_memory_mb() >= before > 10
