"""The samples that the embedded monitor keeps of scraped metrics: the newest value, and totals over sliding windows.

Only series that a rule reads are kept. A series has every sample of the last ten minutes and one sample per minute
before that, so a day of one series takes 25 kB.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

Labels = frozenset[tuple[str, str]]
FINE_S, COARSE_STEP_S, LONGEST_S = 600.0, 60.0, 86_400.0
STALE_S = 15.0
"""A value that is older than three scrapes is no longer the latest value."""
UP = "up"
"""Metric of a target: 1 if its last scrape was answered, else 0."""


@dataclass(frozen=True)
class Selection:
    """The series of `metric` whose labels have these values. A tuple of values means any of them."""

    metric: str
    where: tuple[tuple[str, str | tuple[str, ...]], ...] = ()

    @classmethod
    def of(cls, metric: str, **where: str | tuple[str, ...]) -> Selection:
        return cls(metric, tuple(where.items()))

    def text(self) -> str:
        """The selector in PromQL."""
        parts = [
            f'{name}="{value}"' if isinstance(value, str) else f'{name}=~"{"|".join(value)}"'
            for name, value in self.where
        ]
        return self.metric + (f"{{{', '.join(parts)}}}" if parts else "")

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(
            labels.get(name, "") in ((value,) if isinstance(value, str) else value) for name, value in self.where
        )


@dataclass
class Series:
    """The values of one series. `total` counts increases only: after a restart a counter continues from its total."""

    labels: Labels
    last: float
    at: float
    total: float = 0.0
    fine: Points = field(default_factory=lambda: Points())
    coarse: Points = field(default_factory=lambda: Points())

    def add(self, now: float, value: float) -> None:
        self.total += value - self.last if value >= self.last else value
        self.last, self.at = value, now
        self.fine.add(now, self.total, FINE_S)
        if not self.coarse.times or now - self.coarse.times[-1] >= COARSE_STEP_S:
            self.coarse.add(now, self.total, LONGEST_S)

    def increase(self, now: float, window_s: float) -> float:
        """The increase since the first sample within the window."""
        points = self.fine if window_s <= FINE_S else self.coarse
        return self.total - points.first_since(now - window_s, self.total)


@dataclass
class Points:
    """Totals by time, oldest first."""

    times: array[float] = field(default_factory=lambda: array("d"))
    totals: array[float] = field(default_factory=lambda: array("d"))

    def add(self, now: float, total: float, keep_s: float) -> None:
        """Append a point and drop the points that are older than `keep_s`."""
        self.times.append(now)
        self.totals.append(total)
        old = bisect_right(self.times, now - keep_s - COARSE_STEP_S)
        if old:
            del self.times[:old], self.totals[:old]

    def first_since(self, since: float, default: float) -> float:
        place = bisect_right(self.times, since)
        return self.totals[place] if place < len(self.totals) else default


class Samples:
    """Samples of the series in `wanted`. `now` is the time of the newest scrape, in seconds since the epoch."""

    def __init__(self, wanted: Iterable[Selection]) -> None:
        self._wanted: dict[str, list[Selection]] = {}
        for selection in wanted:
            self._wanted.setdefault(selection.metric, []).append(selection)
        self._series: dict[str, dict[Labels, Series]] = {}
        self.now = 0.0

    def add(self, target: Mapping[str, str], text: str | None, now: float) -> None:
        """Add one scrape of a target in the text format; None if the target did not answer.

        The labels of the target are added to each series that does not have them itself.
        """
        self.now = now
        self._put(UP, target, 0.0 if text is None else 1.0)
        kept = [line for line in (text or "").splitlines() if self._name(line) in self._wanted]
        for family in text_string_to_metric_families("\n".join(kept) + "\n"):
            for sample in family.samples:
                labels = {**target, **sample.labels}
                if any(one.matches(labels) for one in self._wanted[sample.name]):
                    self._put(sample.name, labels, sample.value)

    def latest(self, selection: Selection) -> Iterator[tuple[Labels, float]]:
        """The newest value of each selected series whose target still answers."""
        for series in self._selected(selection):
            if self.now - series.at <= STALE_S:
                yield series.labels, series.last

    def increases(self, selection: Selection, window_s: float) -> Iterator[tuple[Labels, float]]:
        """The increase of each selected counter over the last `window_s` seconds."""
        for series in self._selected(selection):
            if self.now - series.at <= window_s:
                yield series.labels, series.increase(self.now, window_s)

    def _put(self, metric: str, labels: Mapping[str, str], value: float) -> None:
        key, known = frozenset(labels.items()), self._series.setdefault(metric, {})
        if key not in known:
            known[key] = Series(key, value, self.now)
        known[key].add(self.now, value)

    def _selected(self, selection: Selection) -> Iterator[Series]:
        for labels, series in self._series.get(selection.metric, {}).items():
            if selection.matches(dict(labels)):
                yield series

    @staticmethod
    def _name(line: str) -> str:
        return line.partition(" ")[0].partition("{")[0]
