"""Runs speed tests on a machine that may be busy: a try counts only if the machine is quiet enough.

Each try prints its measurements. An inconclusive try is repeated, up to three tries in total. After three inconclusive
tries the test is skipped with the reasons, because a busy machine proves nothing about the code. With
`LAB_TESTS_QUIET=1`, which states that nothing else runs, the test fails instead. A conclusive try decides the test. A
try judges time only: assert everything else outside the try.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

import psutil
import pytest

T = TypeVar("T")
TRIES = 3
BROKEN, INCONCLUSIVE = 3, 5
"""Exit codes of `lab load` and `lab drill`: a broken budget or probe, and a measurement that other programs or a late
load generator disturbed."""
LATENCY, SHARES = "p99_ms", ("success_share", "degraded_share")
MOST_FOREIGN_CORES = 0.25
"""Largest CPU use of other programs, in cores, during a measurement in the test's own process."""
QUIET = "LAB_TESTS_QUIET"


class Inconclusive(Exception):
    """The machine is too busy for a verdict. The message holds the measurements."""


def conclusive(attempt: Callable[[], T], what: str, tries: int = TRIES) -> T:
    """Return the result of the first try that does not raise `Inconclusive`."""
    reasons = []
    for number in range(1, tries + 1):
        try:
            return attempt()
        except Inconclusive as exc:
            reasons.append(f"{what}, try {number} of {tries} is inconclusive: {exc}")
            print(reasons[-1])
    return _give_up("\n".join(reasons))


def conclusive_run(
    run: Callable[[], subprocess.CompletedProcess[str]], wanted: int = 0
) -> subprocess.CompletedProcess[str]:
    """Run a measuring command until its exit code is not `INCONCLUSIVE`, and return the last run.

    A broken budget is measured again too if the test expects another result, because a slow machine breaks budgets
    without being busy. The last try decides.
    """
    tries = iter(range(1, TRIES + 1))

    def attempt() -> subprocess.CompletedProcess[str]:
        number, done = next(tries), run()
        print(done.stdout, done.stderr)
        if done.returncode == INCONCLUSIVE or (done.returncode == BROKEN != wanted and number < TRIES):
            raise Inconclusive((done.stdout + done.stderr)[-1500:])
        return done

    return conclusive(attempt, "the command")


def drill_journal(run: Callable[[], subprocess.CompletedProcess[str]], tries: int = TRIES) -> dict[str, Any]:
    """Run a drill until every figure but the latency holds, and return the journal of the last run.

    The last of `tries` runs decides about a broken figure, and skips the test if a figure has no verdict. A latency
    without a verdict is no reason to run a drill of minutes again: `skip_without_latency` skips the test at its end.
    """
    numbers = iter(range(1, tries + 1))

    def attempt() -> dict[str, Any]:
        number, done = next(numbers), run()
        print(done.stdout, done.stderr)
        assert done.returncode in (0, BROKEN, INCONCLUSIVE), done.stdout[:3000] + done.stderr
        journal: dict[str, Any] = json.loads(done.stdout)
        assert journal["probes"], journal["aborted"]
        others = [probe for probe in journal["probes"] if probe["figure"] != LATENCY]
        unsure = [probe for probe in others if probe["judgement"] not in ("holds", "broken")]
        if unsure or (number < tries and any(probe["judgement"] == "broken" for probe in others)):
            raise Inconclusive(f"{[probe for probe in others if probe['judgement'] != 'holds']}, {journal['machine']}")
        return journal

    return conclusive(attempt, "the drill", tries)


def skip_without_latency(journal: Mapping[str, Any]) -> None:
    """Assert that a drill holds in all figures but the latency, and skip the test if the latency does not hold. With
    `LAB_TESTS_QUIET=1`, which states that the machine is quiet, a latency that does not hold fails the test."""
    missed = [probe for probe in journal["probes"] if probe["judgement"] != "holds"]
    assert {probe["figure"] for probe in missed} <= {LATENCY}, missed
    if missed:
        found = "; ".join(
            f"{one['phase']}: {one['value']:.1f} ms of {one['high']:g} ({one['judgement']})" for one in missed
        )
        text = f"all figures hold but the latency, {found}, {journal['machine']}"
        pytest.fail(text, pytrace=False) if os.environ.get(QUIET) == "1" else pytest.skip(text)
    assert journal["holds"]


def broken_by_speed_alone(probes: Sequence[Mapping[str, Any]]) -> str:
    """Return the broken latencies, or an empty text. Fails if any other figure is broken, but for shares beside a
    broken latency: a service that is too slow sheds requests, and degrades answers at their deadline. With
    `LAB_TESTS_QUIET=1`, which states that the machine is quiet, a broken latency fails too."""
    broken = [probe for probe in probes if probe["judgement"] == "broken"]
    late = [probe for probe in broken if probe["figure"] == LATENCY]
    assert {probe["figure"] for probe in broken} <= {LATENCY, *(SHARES if late else ())}, broken
    assert not broken or os.environ.get(QUIET) != "1", broken
    return "; ".join(f"{probe['phase']}: p99_ms {probe['value']:.1f}" for probe in late)


def stays_below(limit: float, measure: Callable[[], float], what: str) -> None:
    """Assert that `measure()` is below `limit`. A larger value counts only in the last try and on a quiet machine."""
    found = when_quiet(measure, lambda value: value < limit, what)
    assert found < limit, f"{what}: {found:.4g}, limit {limit:.4g}"


def when_quiet(measure: Callable[[], T], holds: Callable[[T], bool], what: str) -> T:
    """Return the first result of `measure()` that holds. A result that does not hold is measured again, because a
    machine can stop for a moment. The last try decides if other programs are quiet."""
    tries = iter(range(1, TRIES + 1))

    def attempt() -> T:
        number = next(tries)
        begun, before = time.monotonic(), (_busy_s(), _own_s())
        found = measure()
        took_s = time.monotonic() - begun
        foreign = ((_busy_s() - before[0]) - (_own_s() - before[1])) / max(took_s, 1e-9)
        shown = f"{found:.4g}" if isinstance(found, float) else "measured"
        text = f"{what}: {shown} in {took_s:.2f} s, other programs used {foreign:.2f} cores"
        print(text)
        if not holds(found) and (number < TRIES or foreign > MOST_FOREIGN_CORES):
            raise Inconclusive(text)
        return found

    return conclusive(attempt, what)


def _busy_s() -> float:
    """CPU seconds of all programs on this machine, and of its host's other programs if the system reports them."""
    times = psutil.cpu_times()
    return float(times.user + times.system + getattr(times, "nice", 0.0) + getattr(times, "steal", 0.0))


def _own_s() -> float:
    """CPU seconds of this process and its children, including ended children."""
    total = 0.0
    process = psutil.Process()
    for one in [process, *process.children(recursive=True)]:
        try:
            times = one.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def _give_up(reasons: str) -> NoReturn:
    if os.environ.get(QUIET) == "1":
        pytest.fail(f"no conclusive try on a machine that should be quiet:\n{reasons}", pytrace=False)
    pytest.skip(f"inconclusive on a busy machine:\n{reasons}")


def skip_if_slow(judged: list[dict[str, Any]]) -> None:
    """Skip the test if the latency alone broke its budget. Fails if anything else is broken."""
    if slow := broken_by_speed_alone(judged):
        pytest.skip(f"the machine is too slow beside its containers: {slow}")
