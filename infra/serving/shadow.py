"""Lets a rollout's challenger compute live requests in the shadow: after the response, and only if nothing waits.

One thread takes the requests from a short queue. It starts none while the service computes a real one, and leaves out
what has waited too long, so that users do not wait for a model that they do not see. The results go to the prediction
log, marked with the id of the answer that the user got.
"""

from __future__ import annotations

import logging
import queue
import random
import threading
import time
from collections.abc import Callable
from typing import Any

from infra.errors import DependencyError
from infra.serving.admission import Admission
from infra.serving.challenger import ChallengerSlot
from infra.serving.release_tally import ReleaseTally
from infra.stream.event import Event
from infra.stream.producer import EventProducer

log = logging.getLogger(__name__)
WAITING = 8
"""requests that wait at most"""
PATIENCE_S = 0.25
"""seconds that a request waits at most for a moment without real requests"""
LOOK_S = 0.002
Compute = Callable[[Any], Event]


class Shadow:
    """`compute(service)` in `offer` answers a request with the challenger's service and returns the log entry."""

    def __init__(
        self,
        challenger: ChallengerSlot[Any],
        admission: Admission,
        producer: EventProducer,
        tally: ReleaseTally,
        topic: str,
    ) -> None:
        self._challenger, self._admission, self._producer = challenger, admission, producer
        self._tally, self._topic = tally, topic
        self._queue: queue.Queue[tuple[float, Compute] | None] = queue.Queue(WAITING)
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        with self._queue.mutex:
            self._queue.queue.clear()
        self._queue.put(None)
        self._thread.join(2.0)

    def offer(self, compute: Compute) -> None:
        """Compute a request in the shadow, or leave it out: outside a rollout's shadow, beyond the rollout's share of
        requests, or with a full queue."""
        trial = self._challenger.trial
        if trial is None or trial.rollout.stage != "shadow" or random.random() >= trial.rollout.share:
            return
        try:
            self._queue.put_nowait((time.monotonic(), compute))
        except queue.Full:
            self._tally.shadowed("shed")

    def _run(self) -> None:
        while (taken := self._queue.get()) is not None:
            offered_s, compute = taken
            while self._admission.is_busy and time.monotonic() - offered_s < PATIENCE_S:
                time.sleep(LOOK_S)
            trial = self._challenger.trial
            if self._admission.is_busy or trial is None:
                self._tally.shadowed("shed")
                continue
            self._compute(compute, trial.value)

    def _compute(self, compute: Compute, service: Any) -> None:
        try:
            event = compute(service)
        except DependencyError:  # says nothing about the challenger
            self._tally.shadowed("shed")
        except Exception:
            log.exception("the challenger failed in the shadow")
            self._tally.shadowed("failed")
        else:
            self._producer.offer(self._topic, lambda: event)
            self._tally.shadowed("done")
