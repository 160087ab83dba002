"""Opens a design's player and judge, runs its quality and holdout measurements, and shows progress.

A player and a judge do not import each other; the callers of this module pass values between the two.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from infra.design import Design, resolve
from infra.evaluation.experiment import Judge, Player
from infra.evaluation.figures import Figure
from infra.progress import Progress as ProgressCallback
from infra.settings import Settings
from lab.output.console import err


def open_player(design: Design, settings: Settings, release: Path) -> Player:
    """Return a player that serves the release in the directory `release`, in this process."""
    player: Player = resolve(design.player)(release, design.configuration(settings.preset), settings)
    return player


def open_judge(design: Design, settings: Settings) -> Judge:
    judge: Judge = resolve(design.judge)(design.configuration(settings.preset))
    return judge


def measure_quality(design: Design, settings: Settings, release: Path) -> list[Figure]:
    """Measure the design's figures that need its player and its judge."""
    with progress("asking the oracle") as report:
        player, judge = open_player(design, settings, release), open_judge(design, settings)
        figures: list[Figure] = resolve(design.quality)(player, judge, report)
        return figures


def measure_holdout(design: Design, settings: Settings, paths: Mapping[str, Path]) -> list[Figure]:
    """Measure the design's figures on the gate's rows that no build measures. `paths` maps step name -> output."""
    if not design.holdout:
        return []
    with progress("measuring on the holdout") as report:
        figures: list[Figure] = resolve(design.holdout)(design.configuration(settings.preset), paths, report)
        return figures


@contextmanager
def progress(title: str) -> Iterator[ProgressCallback]:
    """Yield a progress callback: a progress bar on a terminal, one line per quarter elsewhere."""
    if not err.is_terminal:
        last_quarter = 0

        def report(share: float, text: str) -> None:
            nonlocal last_quarter
            if int(share * 4) > last_quarter:
                last_quarter = int(share * 4)
                err.print(f"{title}: {text}", markup=False, soft_wrap=True)

        yield report
        return
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("[dim]{task.fields[note]}"))
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=err, transient=True) as bar:
        task = bar.add_task(title, total=1.0, note="")
        yield lambda share, text: bar.update(task, completed=share, note=text)
