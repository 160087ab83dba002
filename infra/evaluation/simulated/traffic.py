"""Simulated users meet a service in this process, and its worker writes the live log: seconds for hours of traffic.

Requests, reactions and their times come from the same population as those of `lab live`; all randomness comes from
`seed`. Times of the world are exact, so trips end and late clicks arrive when they would.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from infra.design import Design, resolve
from infra.evaluation.population import Population
from infra.evaluation.simulated.parts import InProcess, Named, SimulatedClock
from infra.live.live_log import LIVE
from infra.registry.release import read_release
from infra.settings import Settings
from infra.simulation.streams import stream
from infra.stream.consumer import Received
from infra.stream.event import Codec, encode
from infra.stream.sink import ParquetSink

EPOCH = "simulated"
ANSWER_S = 0.05
"""world time from a request to the reaction"""
MOST_EVENTS = 1000
"""events that wait at most for the worker"""


class SimulatedTraffic:
    """One run from the end of the release's log on, at `rate_per_s` requests per second of world time (by default the
    design's). `settings` are those of a home of its own (`parts.home_for`)."""

    def __init__(self, design: Design, settings: Settings, seed: int, rate_per_s: float | None = None) -> None:
        root = settings.design_root(design.name)
        self.clock = SimulatedClock(read_release(root).world_now)
        self.inside: InProcess = resolve(design.in_process)(settings, self.clock)
        self.people: Population = resolve(design.people)(design.configuration(settings.preset), seed)
        rate = rate_per_s or self.inside.rate_per_s
        self.visit_of: list[int] = []
        """the visit of each answered request, which has the number of its place + 1"""
        self._seed, self._gaps_s, self._visits = seed, self.people.gaps_s(rate), 0
        tables = {topic: table for topic, (_, table) in self.inside.logged.items()}
        self._sink = ParquetSink(root / LIVE, tables, self.clock.now)
        self._sink.resume(EPOCH)
        (root / LIVE).mkdir(parents=True, exist_ok=True)
        self.inside.features.resume(EPOCH)
        self._offsets: dict[str, int] = {}
        self._new: list[Named] = []
        self._published_ts = self.clock.now()

    def run(self, requests: int) -> None:
        """Let sessions start until at least `requests` more requests are answered, and write the log."""
        enough = len(self.visit_of) + requests
        while len(self.visit_of) < enough:
            self._advance(next(self._gaps_s))
            self._visit(self._visits)
            self._visits += 1
        self._work()

    def _visit(self, number: int) -> None:
        visit = self.people.visit(number)
        while (question := visit.question()) is not None:
            seed = int(stream(self._seed, "requests", len(self.visit_of)).integers(2**53))
            self.visit_of.append(number)
            answer, entry = self.inside.answer(question, len(self.visit_of), seed)
            self._new.append(entry)
            self._advance(ANSWER_S)
            if events := visit.react(answer):
                self._new += self.inside.events(events)

    def _advance(self, seconds: float) -> None:
        self.clock.at_least(self.clock.now() + seconds)
        if self.clock.now() - self._published_ts >= self.inside.round_s or len(self._new) >= MOST_EVENTS:
            self._work()

    def _work(self) -> None:
        """Publish what is due, let both consumers of the worker read all new events, and let the service follow."""
        now_ts = self.clock.now()
        if due := self.people.publications(self._published_ts, now_ts):
            self._new += self.inside.events({self.people.publish_field: due})
        new, self._new, self._published_ts = self._new, [], now_ts
        if logged := self._received(new, {topic: codec for topic, (codec, _) in self.inside.logged.items()}):
            self._sink.apply(logged)
        if watched := self._received(new, self.inside.watched):
            self.inside.features.apply(watched)
        self.inside.features.try_refresh(float(int(now_ts)))
        self.inside.follow([event for _, event in new])

    def _received(self, events: Sequence[Named], codecs: Mapping[str, Codec]) -> list[Received]:
        """The events of these topics as a consumer gets them, through the wire format."""
        found = []
        for topic, event in events:
            if topic in codecs:
                offset = self._offsets[topic] = self._offsets.get(topic, -1) + 1
                value = encode(topic, event).value
                found.append(Received(codecs[topic].decode(value), topic, 0, offset, time.time()))
        return found
