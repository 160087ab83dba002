"""The embedded monitor's rounds: read the metrics of every running process, evaluate the rules, keep the alerts.

Prometheus and Alertmanager do the same in the composed setting.
"""

from __future__ import annotations

import logging
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from prometheus_client import Counter

from infra.settings import Settings
from infra.telemetry.alerts.alert import Alert, delivered
from infra.telemetry.alerts.book import AlertBook
from infra.telemetry.alerts.evaluation import RuleEvaluation
from lab.services.runstate import read_state

log = logging.getLogger(__name__)
TIMEOUT_S, AT_ONCE = 3.0, 4
MONITOR = "monitor"


@dataclass(frozen=True)
class Target:
    """A process with metrics. `labels` are those that Prometheus gives it in the composed setting, but for the job."""

    url: str
    labels: Mapping[str, str]


def running_targets(settings: Settings) -> list[Target]:
    """The services and workers of the running lab, from its run state."""
    state = read_state(settings)
    return [
        Target(one.direct_url, _labels(one.design or one.name, one.direct_url))
        for one in (state.services if state else ())
        if one.url and one.name != MONITOR
    ]


def _labels(name: str, url: str) -> dict[str, str]:
    return {"job": "lab", "instance": url.rpartition("/")[2], "design": name.removesuffix("-worker")}


@dataclass
class Scraper:
    """Scrapes `targets()` every few seconds in a thread. `own` returns the metrics of the monitor itself. `changed`
    receives the alerts that fire after each round."""

    evaluation: RuleEvaluation
    book: AlertBook
    targets: Callable[[], Sequence[Target]]
    own: Callable[[], str]
    scrapes: Counter
    every_s: float
    changed: Callable[[Sequence[Alert]], None]

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="scrape")

    def start(self) -> None:
        threading.Thread(target=self._run, name="scraper", daemon=True).start()

    def close(self) -> None:
        self._stop.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def look(self) -> None:
        """One round. The labels of a firing alert are those of `infra.telemetry.alerts.rules`."""
        targets = list(self.targets())
        texts = list(self._pool.map(lambda target: read_metrics(target.url), targets))
        now, samples = time.time(), self.evaluation.samples
        for target, text in zip(targets, texts, strict=True):
            samples.add(target.labels, text, now)
            self.scrapes.labels("failed" if text is None else "ok").inc()
        samples.add({"job": MONITOR, "instance": MONITOR}, self.own(), now)
        before = {alert.key for alert in self.book.listed().active}
        self.book.replace(delivered(self.evaluation.evaluate()))
        after = self.book.listed().active
        for alert in after:
            if alert.key not in before:
                log.warning("alert %s: %s", alert.name, alert.summary)
        self.book.save(force=before != {alert.key for alert in after})
        self.changed(after)

    def _run(self) -> None:
        while not self._stop.wait(self.every_s):
            try:
                self.look()
            except Exception:  # the monitor must survive a bug in one round, and say so
                log.exception("a round of the monitor failed")


def read_metrics(url: str) -> str | None:
    """Return the metrics of a process in the text format; None if it does not answer in time."""
    try:
        with urllib.request.urlopen(f"{url}/metrics", timeout=TIMEOUT_S) as response:
            found: bytes = response.read()
            return found.decode()
    except (OSError, ValueError):
        return None
