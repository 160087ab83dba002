"""Runs a drill and judges it.

The load runs through three phases: steady state, broken after the fault is injected, and recovered after the fault is
removed. The drill removes the fault in any case.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

import numpy as np

from infra.errors import LabError
from infra.evaluation.drill import BROKEN, RECOVERED, STEADY, Drill, Probe
from infra.evaluation.shares import Judgement, Share
from infra.progress import Progress
from lab.drills.alerts import FiredAlert
from lab.drills.faults import Faults
from lab.drills.load import Load, Sent, uncollected
from lab.load.machine import Conditions, CpuWatch, late_limit_ms

SHARES: Mapping[str, Callable[[Sent], bool]] = {
    "success_share": lambda one: one.status == 200,
    "degraded_share": lambda one: bool(one.degraded),
}
WARM_UP_S, QUIET_S, LONGEST_S = 2.0, 1.0, 60.0
"""A service counts as recovered after `QUIET_S` without a failed or degraded response. The drill waits for recovery for
at most `LONGEST_S`."""


@dataclass(frozen=True)
class Verdict:
    """One probe, its measured value and its judgement. A share also has its 95% interval."""

    phase: str
    probe: Probe
    value: float | None
    judgement: Judgement
    interval: tuple[float, float] | None = None


@dataclass
class DrillRun:
    """Results of a drill. `events` are (seconds, text) on the drill's clock; `phases` are name -> (from_s, to_s).

    The drill's clock is 0 at `began_ts` (seconds since the epoch) and `lasted_s` at the end.
    """

    drill: Drill
    setting: str
    url: str
    sent: list[Sent] = field(default_factory=list)
    events: list[tuple[float, str]] = field(default_factory=list)
    phases: dict[str, tuple[float, float]] = field(default_factory=dict)
    verdicts: list[Verdict] = field(default_factory=list)
    breaker_open_s: float | None = None
    recovery_s: float | None = None
    aborted: str = ""
    is_cleared: bool = False
    conditions: Conditions = field(default_factory=Conditions)
    began_ts: float = 0.0
    lasted_s: float = 0.0
    alerts: list[FiredAlert] = field(default_factory=list)

    @property
    def judgement(self) -> Judgement:
        """Judgement of the whole drill; broken if the drill was aborted."""
        if self.aborted or not self.verdicts:
            return Judgement.BROKEN
        return Judgement.of_all(verdict.judgement for verdict in self.verdicts)

    @property
    def holds(self) -> bool:
        return self.judgement is Judgement.HOLDS

    def of(self, phase: str) -> list[Sent]:
        begin, end = self.phases[phase]
        return [one for one in self.sent if begin <= one.due_s < end]


def run_drill(
    drill: Drill,
    load: Load,
    faults: Faults,
    setting: str,
    report: Progress,
    pids: Callable[[], Sequence[int]] = lambda: (),
) -> DrillRun:
    """Run the drill to its end, or until Ctrl-C. The drill removes the fault in any case.

    An aborted run holds its reason in `aborted` and the phases that it completed. `pids` returns the process ids of
    the service; `CpuWatch` separates their CPU time from that of other programs. Raises `DependencyError` if the fault
    cannot be injected in this setting.
    """
    run = DrillRun(drill, setting, load.url)
    faults.check(drill.method)
    with interruptible(), uncollected(), CpuWatch(pids) as watch, load:
        run.began_ts = time.time() - load.now_s
        try:
            _go_through(run, load, faults, report)
        except KeyboardInterrupt:
            run.aborted = "interrupted"
        except LabError as exc:
            run.aborted = str(exc)
        finally:
            with undisturbed():
                _clear(run, faults)
        run.sent, run.lasted_s = load.since(0.0), load.now_s
    late_ms = float(np.quantile(load.late_ms, 0.99)) if load.late_ms else 0.0
    limits_ms = [probe.high for probe in drill.probes if probe.unit == "ms"]
    run.conditions = watch.conditions(late_ms, late_limit_ms(limits_ms))
    if not run.aborted:
        run.verdicts = judge(run)
    return run


def _clear(run: DrillRun, faults: Faults) -> None:
    try:
        faults.clear(run.drill.method)
        run.is_cleared = True
    except LabError as exc:
        run.aborted = (
            f"{run.aborted or 'the drill ended'}, and the fault at {run.drill.method.port} could not be cleared: {exc}"
        )


def _go_through(run: DrillRun, load: Load, faults: Faults, report: Progress) -> None:
    method, wanted = run.drill.method, run.drill.requests

    def note(text: str) -> float:
        now_s = load.now_s
        run.events.append((now_s, text))
        return now_s

    def phase(name: str, part: int) -> None:
        begin = load.now_s
        while len(load.since(begin)) < wanted:
            if load.now_s - begin > LONGEST_S + 3 * wanted / run.drill.rate_per_s:
                raise LabError(
                    f"the service did not answer {wanted} requests in time", hint="check that the service is running"
                )
            time.sleep(0.1)
            got = min(len(load.since(begin)), wanted)
            report((part + got / wanted) / 3, f"{name}: {got} of {wanted} requests")
        run.phases[name] = (begin, load.now_s)

    time.sleep(WARM_UP_S)
    phase(STEADY, 0)
    broke_s = note(f"injecting the fault at {method.port}")
    faults.inject(method)
    note(f"{method.port} is down")
    phase(BROKEN, 1)
    note(f"clearing the fault at {method.port}")
    faults.clear(method)
    back_s = note(f"{method.port} answers again")
    run.breaker_open_s = _breaker_opened_after(load, method.port, broke_s)
    run.recovery_s = _await_recovery(load, back_s)
    note("responses are healthy again" if run.recovery_s is not None else "responses are still not healthy")
    phase(RECOVERED, 2)


def _breaker_opened_after(load: Load, port: str, broke_s: float) -> float | None:
    """Seconds from the first failed or degraded response until the breaker is seen open; None if it stays closed."""
    affected = [one.due_s + one.latency_ms / 1000 for one in load.since(broke_s) if not one.is_healthy]
    opened = [at_s for at_s, states in load.breakers if at_s >= broke_s and states.get(port) in ("open", "half_open")]
    return max(0.0, opened[0] - min(affected)) if affected and opened else None


def _await_recovery(load: Load, back_s: float) -> float | None:
    """Seconds from `back_s` to the last failed or degraded response; None if such responses do not stop."""
    while load.now_s - back_s < LONGEST_S:
        affected = [one.due_s for one in load.since(back_s) if not one.is_healthy]
        last_s = max(affected, default=back_s)
        if load.now_s - last_s > QUIET_S:
            return last_s - back_s
        time.sleep(0.1)
    return None


def judge(run: DrillRun) -> list[Verdict]:
    """Judge every probe of the drill by its measured value.

    A share is judged by its interval (`infra.evaluation.shares`). A limit that breaks on a disturbed machine is
    inconclusive. Two cases break on any machine: wrong responses, and a figure that was never observed.
    """
    rows = [(STEADY, probe) for probe in run.drill.steady]
    rows += [(BROKEN, probe) for probe in run.drill.expect]
    rows += [(RECOVERED, probe) for probe in (*run.drill.recover, *run.drill.steady)]
    return [_verdict(run, phase, probe) for phase, probe in rows]


def _verdict(run: DrillRun, phase: str, probe: Probe) -> Verdict:
    value = measured(run, phase, probe.figure)
    if value is None:
        return Verdict(phase, probe, None, Judgement.BROKEN)
    if probe.figure not in SHARES:
        found = Judgement.HOLDS if probe.holds(value) else Judgement.BROKEN
        return Verdict(phase, probe, value, run.conditions.excuse(found))
    sent = run.of(phase)
    share = Share(sum(map(SHARES[probe.figure], sent)), len(sent))
    excuse = run.conditions.excuse_degraded if probe.figure == "degraded_share" else run.conditions.excuse
    judgement = excuse(share.judge(probe.low, probe.high))
    correct_share = Share(sum(not one.is_wrong for one in sent), len(sent))
    if probe.figure == "success_share" and correct_share.judge(probe.low) is Judgement.BROKEN:
        judgement = Judgement.BROKEN
    return Verdict(phase, probe, value, judgement, share.interval())


def measured(run: DrillRun, phase: str, figure: str) -> float | None:
    """Measure one figure of a phase; None if it was not observed. `infra.evaluation.drill.Probe` lists the figures."""
    if figure in ("breaker_open_s", "recovery_s"):
        value: float | None = getattr(run, figure)
        return value
    sent = run.of(phase)
    if not sent:
        return None
    if figure in SHARES:
        return float(np.mean([SHARES[figure](one) for one in sent]))
    figures: dict[str, Callable[[], float]] = {
        "requests": lambda: float(len(sent)),
        "p99_ms": lambda: float(np.quantile([one.latency_ms for one in sent], 0.99)),
    }
    return figures[figure]()


@contextmanager
def interruptible() -> Iterator[None]:
    """Make SIGTERM end a drill as Ctrl-C does."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    with _handlers({signal.SIGTERM: stop}):
        yield


@contextmanager
def undisturbed() -> Iterator[None]:
    """Ignore SIGINT and SIGTERM, so that a second Ctrl-C does not interrupt the removal of the fault."""
    with _handlers({signal.SIGINT: signal.SIG_IGN, signal.SIGTERM: signal.SIG_IGN}):
        yield


@contextmanager
def _handlers(wanted: dict[signal.Signals, object]) -> Iterator[None]:
    try:
        before = {number: signal.signal(number, handler) for number, handler in wanted.items()}  # type: ignore[arg-type]
    except ValueError:  # only the main thread can set handlers; some tests run drills in another one
        yield
        return
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
