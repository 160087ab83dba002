"""Watches the services of `lab up`: starts those that end again, and replaces replicas that hang.

Each service is starting, running, or out for a pause. `Watch.look` takes one step for every service and waits for
none: threads ask a service whether it is ready, and a replica whether it answers. A replica that fails repeatedly while
another one of its design serves is left out for a growing pause. Any other service is started again at once; if it
fails while it starts, or a fourth time in a minute, `look` raises, and the lab ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from infra.errors import DependencyError, LabError
from lab.output.console import err
from lab.services.processes import Service, responds, tail
from lab.services.watched import LIMITS, RESTART_WINDOW_S, RESTARTS, Limits, Phase, Watched


class Watch:
    """Context manager. `launch` starts the process of a service. `changed` is called after a start and at a pause."""

    def __init__(
        self,
        services: Sequence[Service],
        launch: Callable[[Service], None],
        changed: Callable[[], None],
        limits: Limits = LIMITS,
    ) -> None:
        now = time.monotonic()
        self.watched = [Watched(service, Phase.RUNNING, now, answered_at=now) for service in services]
        self._launch, self._changed, self._limits = launch, changed, limits
        self._served = {service.design: now for service in services}
        # twice as many threads as services, since the last probe of a dead process may still wait for its answer
        self._pool = ThreadPoolExecutor(2 * len(services), thread_name_prefix="probe")

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def look(self) -> None:
        """Take one step for each service.

        Raises `LabError` if a service fails while it starts or crashes too often, and `DependencyError` if it is not
        ready in time, unless another replica of its design serves.
        """
        now = time.monotonic()
        self._served |= {one.service.design: now for one in self.watched if one.serves}
        for one in self.watched:
            self._step(one, now)

    def _step(self, one: Watched, now: float) -> None:
        if one.phase is Phase.OUT:
            if now - one.since >= one.pause_s:
                self._start(one, now)
        elif (status := one.status) is not None:
            self._handle_crash(one, one.killed or f"ended with status {status}", now)
        elif one.killed:
            return  # the process has not ended yet
        elif one.phase is Phase.STARTING:
            self._await_ready(one, now)
        elif others := self._others(one):
            self._await_answer(one, others, now)

    def _await_ready(self, one: Watched, now: float) -> None:
        if self._ask(one, one.service.ready, now, every_s=0.0):
            one.enter(Phase.RUNNING, now)
        elif now - one.since > self._limits.start_timeout_s:
            self._kill(one, f"was not ready after {self._limits.start_timeout_s:g} s")

    def _await_answer(self, one: Watched, others: Sequence[Watched], now: float) -> None:
        """Kill a replica that hangs, if another one serves. The connections that it accepted end with it."""
        limits, url = self._limits, f"{one.service.own_url}/healthz"
        answer = self._ask(one, lambda: responds(url, limits.probe_timeout_s), now, every_s=limits.probe_every_s)
        if answer:
            one.silent, one.answered_at = 0, now
        elif answer is False:
            one.silent += 1
        is_silent = one.silent >= limits.silent_probes and now - one.answered_at >= limits.silent_s
        if is_silent and any(other.serves for other in others):
            self._kill(one, f"did not answer for {limits.silent_s:g} s")

    def _ask(self, one: Watched, question: Callable[[], bool], now: float, *, every_s: float) -> bool | None:
        """Return the answer to the last question, None while there is none. Ask the next one when it is due."""
        answer = None
        if one.probe is not None and one.probe.done():
            answer, one.probe = one.probe.result(), None
        if one.probe is None and now >= one.probe_at:
            one.probe, one.probe_at = self._pool.submit(question), now + every_s
        return answer

    def _kill(self, one: Watched, why: str) -> None:
        one.killed = why
        one.service.kill()

    def _handle_crash(self, one: Watched, reason: str, now: float) -> None:
        """Start the service again, now or after a pause, or raise."""
        if one.phase is Phase.RUNNING and now - one.since >= RESTART_WINDOW_S:
            one.crashes.clear()
        one.crashes.append(now)
        name, pause_s = one.service.name, 0.0
        if one.phase is Phase.STARTING and not one.killed:
            reason += " while starting"
        if self._is_replaceable(one, now):
            pause_s = self._limits.pause_after(len(one.crashes))
        elif one.phase is Phase.STARTING:
            raise (DependencyError if one.killed else LabError)(f"{name} {reason}", hint=tail(one.service.log))
        elif sum(now - at < RESTART_WINDOW_S for at in one.crashes) > RESTARTS:
            raise LabError(f"{name} exits repeatedly: it {reason}", hint=tail(one.service.log))
        err.print(f"[yellow]{name} {reason}; starting it again" + (f" in {pause_s:g} s" if pause_s else ""))
        if not pause_s:
            self._start(one, now)
            return
        one.service.out, one.pause_s = reason, pause_s
        one.enter(Phase.OUT, now)
        self._changed()

    def _is_replaceable(self, one: Watched, now: float) -> bool:
        """True if another replica of its design lives, and one has served within the time that a start may take."""
        served = now - self._served[one.service.design] < self._limits.start_timeout_s
        return served and any(other.lives for other in self._others(one))

    def _others(self, one: Watched) -> list[Watched]:
        """The other replicas of its design."""
        design = one.service.design
        return [other for other in self.watched if design and other is not one and other.service.design == design]

    def _start(self, one: Watched, now: float) -> None:
        one.service.out = ""
        self._launch(one.service)
        one.enter(Phase.STARTING, now)
        self._changed()
