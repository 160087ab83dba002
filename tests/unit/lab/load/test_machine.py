"""The CPU watch detects a busy machine, excludes processes of the lab, and excuses only broken limits."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import psutil
import pytest

from infra.evaluation.shares import Judgement
from lab.load.machine import BUSY_TIME, Conditions, CpuWatch, busy_s, late_limit_ms

QUIET = Conditions(other_share=0.02, busy_time=0.0, late_p99_ms=1.0, late_limit_ms=50.0)
BUSY = Conditions(other_share=0.4, busy_time=0.5, late_p99_ms=1.0, late_limit_ms=50.0)
LATE = Conditions(other_share=0.02, busy_time=0.0, late_p99_ms=51.0, late_limit_ms=50.0)
UNKNOWN = Conditions(late_p99_ms=1.0, late_limit_ms=50.0)
SPIN = "import time\nuntil = time.perf_counter() + 60\nwhile time.perf_counter() < until: pass"


@pytest.mark.parametrize(
    ("conditions", "excuses_any", "excuses_degraded"),
    [(QUIET, False, False), (BUSY, True, True), (LATE, True, False), (UNKNOWN, False, False)],
)
def test_conditions_excuse_only_broken_limits_and_lateness_excuses_no_degradation(
    conditions: Conditions, excuses_any: bool, excuses_degraded: bool
) -> None:
    assert bool(conditions.disturbances) == excuses_any
    for excuse, is_excused in ((conditions.excuse, excuses_any), (conditions.excuse_degraded, excuses_degraded)):
        assert excuse(Judgement.BROKEN) is (Judgement.INCONCLUSIVE if is_excused else Judgement.BROKEN)
        for other in (Judgement.HOLDS, Judgement.TOO_FEW):
            assert excuse(other) is other


def test_machine_is_disturbed_only_beyond_the_bounds() -> None:
    assert not Conditions(0.0, BUSY_TIME, 50.0, 50.0).disturbances
    assert len(Conditions(0.0, BUSY_TIME + 0.001, 50.1, 50.0).disturbances) == 2


def test_machine_report_includes_the_measured_values() -> None:
    assert "40.0% of all cores" in BUSY.describe()
    assert "not measured" in UNKNOWN.describe()
    assert UNKNOWN.row()["other_share"] is None
    assert BUSY.row()["disturbances"] == BUSY.disturbances


def test_late_limit_is_a_quarter_of_the_smallest_budget() -> None:
    assert late_limit_ms([200.0, 10.0]) == 2.5
    assert late_limit_ms([]) == float("inf")


def others(watch: CpuWatch) -> float:
    """Return the CPU-seconds of other programs."""
    return sum(spent for _, spent in watch.samples)


def test_cpu_watch_excludes_a_listed_process() -> None:
    """A process outside the process tree of the test spins until it has used one second of CPU."""
    start = (
        "import subprocess, sys; "
        f"print(subprocess.Popen([sys.executable, '-c', {SPIN!r}], stdout=subprocess.DEVNULL).pid)"
    )
    spinner = int(subprocess.run([sys.executable, "-c", start], stdout=subprocess.PIPE, text=True, check=True).stdout)
    process = psutil.Process(spinner)
    try:
        with CpuWatch(lambda: [os.getpid()], 0.1) as foreign, CpuWatch(lambda: [spinner], 0.1) as own:
            before = process.cpu_times().user
            while process.cpu_times().user - before < 1.0:
                time.sleep(0.05)
    finally:
        process.kill()
    assert others(foreign) - others(own) > 0.5


def test_cpu_watch_excludes_short_lived_children() -> None:
    with CpuWatch(lambda: [os.getpid()], 0.05) as watch:
        before = busy_s()
        burn = "import time\nwhile time.process_time() < 0.6: pass"
        subprocess.run([sys.executable, "-c", burn], check=True)
        busy = busy_s() - before
    assert sum(spent for _, spent in watch.samples) < busy - 0.3


def test_cpu_watch_without_local_processes_reports_no_shares() -> None:
    with CpuWatch(lambda: [], 0.05) as watch:
        time.sleep(0.2)
    found = watch.conditions(0.0, 1.0)
    assert (found.other_share, found.busy_time) == (None, None)
    assert found.disturbances == []


def test_busy_time_is_a_share_of_the_run() -> None:
    watch = CpuWatch(lambda: [1])
    cores = psutil.cpu_count() or 1
    watch.samples = [(0.5, 0.0), (0.5, 0.5 * cores), (1.0, 0.1 * cores)]
    found = watch.conditions(3.0, 5.0)
    assert found.busy_time == pytest.approx(0.25)
    assert found.other_share == pytest.approx(0.3)
    assert (found.late_p99_ms, found.late_limit_ms) == (3.0, 5.0)
