"""Runs simulated users against a service: sessions start by the clock, send requests, react, and send their events.

Arrivals are open-loop: a session starts whether or not earlier sessions have ended. A session beyond the limit of
concurrent sessions is dropped and counted. Events are sent with retries until the service acknowledges them. A retry
sends the same body, and the service removes duplicates by event id. A session ends at the first request without a
usable response. A shift of the world applies to the sessions that start after it is noticed.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TextIO

from infra.errors import CorruptArtifact, LabError
from infra.evaluation.population import Events, Population
from infra.live.world_shift import ShiftWatch
from lab.drills.run import interruptible, undisturbed
from lab.load.caller import Caller, Reply
from lab.people.live_tally import Tally

MOST_AT_ONCE = 64
PATIENCE_S = 5.0
GRACE_S = 5.0
"""Time after the end of a run for events without an acknowledgement, in seconds."""
CLOCK = "/v1/clock"
PUBLISHED_AT_ONCE = 100
"""Publications per request, so that a body stays below the service's size limit."""
SHIFT_EVERY_S = 1.0
"""Time between two looks at the shift of the world, in seconds."""


@dataclass(frozen=True)
class Persistence:
    """Retry policy: the number of attempts, and a wait that doubles from `first_s` up to `longest_s`, in seconds.

    With the defaults, events survive a broker outage of half a minute.
    """

    tries: int = 24
    first_s: float = 0.1
    longest_s: float = 2.0

    def wait_s(self, tries: int, asked_s: float) -> float:
        return max(min(self.first_s * 2.0 ** (tries - 1), self.longest_s), min(asked_s, self.longest_s))


class Living:
    """One run. `now_ts` is the world's time at its start; `events` receives one JSON line per event. `shifts` tells the
    changes of the world, and `tell` receives a line about each."""

    def __init__(
        self,
        people: Population,
        url: str,
        ask_path: str,
        now_ts: float,
        *,
        events: TextIO | None = None,
        most_at_once: int = MOST_AT_ONCE,
        persistence: Persistence | None = None,
        publish_every_s: float = 1.0,
        shifts: ShiftWatch | None = None,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.people, self.url, self.ask_path, self.now_ts = people, url, ask_path, now_ts
        self.tally = Tally(people.measures)
        self.refusal = ""
        """Last refusal of the service that no retry can change; empty if none."""
        self._events, self._persistence = events, persistence or Persistence()
        self._most, self._publish_every_s = most_at_once, publish_every_s
        self._shifts, self._tell, self._looked_s = shifts, tell, float("-inf")
        self._free = threading.Semaphore(most_at_once)
        self._stop, self._closed, self._writing = threading.Event(), threading.Event(), threading.Lock()
        self._broken: Exception | None = None

    def run(self, rate_per_s: float, seconds: float | None, report: Callable[[float, Tally], None]) -> float:
        """Run for `seconds`, or until Ctrl-C or SIGTERM; return for how many seconds sessions started.

        Raises `LabError` if the simulated users cannot parse a response.
        """
        began, lasted_s = time.monotonic(), 0.0
        self._follow_world()  # before the first publication
        pool = ThreadPoolExecutor(self._most, thread_name_prefix="visit")
        publisher = threading.Thread(target=self._publish, daemon=True)
        publisher.start()
        with interruptible():
            try:
                self._run_visits(pool, rate_per_s, seconds, report)
                lasted_s = time.monotonic() - began
                pool.shutdown()  # sessions that have started may finish
            except KeyboardInterrupt:
                lasted_s = lasted_s or time.monotonic() - began
            finally:
                with undisturbed():
                    self._close(pool, publisher)
        if self._broken is not None:
            raise LabError(
                f"the simulated users cannot parse the responses of {self.url}: {self._broken!r}"
            ) from self._broken
        return lasted_s

    def _close(self, pool: ThreadPoolExecutor, publisher: threading.Thread) -> None:
        self._stop.set()
        patience = threading.Timer(GRACE_S, self._closed.set)
        patience.start()
        pool.shutdown()
        publisher.join()
        patience.cancel()

    def _run_visits(
        self, pool: ThreadPoolExecutor, rate_per_s: float, seconds: float | None, report: Callable[[float, Tally], None]
    ) -> None:
        began, due_s = time.monotonic(), 0.0
        for number, gap_s in enumerate(self.people.gaps_s(rate_per_s)):
            due_s += gap_s
            until_s = due_s if seconds is None else min(due_s, seconds)
            while (left_s := until_s - (time.monotonic() - began)) > 0 and not self._stop.wait(min(left_s, 0.5)):
                report(time.monotonic() - began, self.tally)
                self._follow_world()
            self._follow_world()
            if self._stop.is_set() or until_s < due_s:
                return
            if self._free.acquire(blocking=False):
                pool.submit(self._visit, number)
            else:
                self.tally.count(dropped=1)

    def _follow_world(self) -> None:
        """Apply a change of the world's shift, if there is one; looks at most once in `SHIFT_EVERY_S`."""
        if self._shifts is None or time.monotonic() - self._looked_s < SHIFT_EVERY_S:
            return
        self._looked_s = time.monotonic()
        try:
            size = self._shifts.change()
        except CorruptArtifact as exc:
            self._tell(f"the world stays as it is: {exc}")
            return
        if size is not None:
            self.people.shift(size)
            self._tell(f"the world shifts by {size:g}" if size else "the world is again as generated")

    def _visit(self, number: int) -> None:
        caller = Caller(self.url, PATIENCE_S)
        visit = self.people.visit(number)
        self.tally.count(sessions=1)
        try:
            while not self._stop.is_set() and (question := visit.question()) is not None:
                answer = self._ask(caller, question)
                if answer is None:
                    break
                events = visit.react(answer)
                if events:
                    self._write(number, events)
                    self._send_events(caller, events)
            self.tally.ended(visit)
        except Exception as exc:  # `run` raises it again; an exception in a pool thread would be lost
            self._broken = exc
            self._stop.set()
        finally:
            caller.close()
            self._free.release()

    def _ask(self, caller: Caller, question: Mapping[str, Any]) -> Mapping[str, Any] | None:
        reply = caller.post(self.ask_path, question)
        if reply.status != 200:
            self.tally.count(requests=1, **{"shed" if reply.status == 503 else "failed": 1})
            self._note_refusal(self.ask_path, reply)
            return None
        self.tally.count(requests=1, **{"degraded" if reply.body.get("degraded") else "ok": 1})
        return reply.body

    def _send_events(self, caller: Caller, events: Events) -> None:
        reply = self._deliver(caller, self.people.events_path, events)
        sent = sum(len(rows) for rows in events.values())
        accepted = int(reply.body.get("accepted", sent)) if reply.status == 202 else 0
        self.tally.count(events_accepted=accepted, events_given_up=sent - accepted)

    def _deliver(self, caller: Caller, path: str, body: Mapping[str, Any]) -> Reply:
        """Send the body until the service accepts or refuses it, the attempts are used up, or the grace time ends."""
        tries = 1
        while True:
            reply = caller.post(path, body)
            if reply.status not in (0, 503):
                self._note_refusal(path, reply)
                return reply
            wait_s = self._persistence.wait_s(tries, reply.retry_after_s)
            if tries >= self._persistence.tries or self._closed.wait(wait_s):
                return reply
            tries += 1
            self.tally.count(sent_again=1)

    def _publish(self) -> None:
        """Send publications when the world's time reaches them: new posts, or click reports that arrive late."""
        caller, from_ts = Caller(self.url, PATIENCE_S), self.now_ts
        while not self._stop.wait(self._publish_every_s):
            to_ts = caller.get(CLOCK).body.get("now")
            if to_ts is None:
                continue  # the service does not answer; due publications are sent once it answers again
            due = self.people.publications(from_ts, to_ts)
            for first in range(0, len(due), PUBLISHED_AT_ONCE):
                self._publish_some(caller, due[first : first + PUBLISHED_AT_ONCE])
            from_ts = to_ts
        caller.close()

    def _publish_some(self, caller: Caller, due: Sequence[Mapping[str, Any]]) -> None:
        reply = self._deliver(caller, self.people.publish_path, {self.people.publish_field: due})
        is_taken = 200 <= reply.status < 300
        self.tally.count(**{"published" if is_taken else "publishing_given_up": len(due)})

    def _note_refusal(self, path: str, reply: Reply) -> None:
        if reply.status >= 400 and reply.status != 503:
            words = reply.body.get("detail") or reply.body.get("title") or ""
            self.refusal = f"{path} answered {reply.status}: {words}"

    def _write(self, number: int, events: Events) -> None:
        if self._events is None:
            return
        lines = [
            json.dumps({"visit": number, "kind": kind, **row}, sort_keys=True) + "\n"
            for kind, rows in events.items()
            for row in rows
        ]
        with self._writing:
            self._events.writelines(lines)
