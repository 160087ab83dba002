"""Commands that make and measure: build, evaluate, bench."""

from __future__ import annotations

import logging
import time
from typing import Annotated

import typer

from infra.build.click_log import ClickLog
from infra.errors import UsageError
from infra.parent import stop_with_parent
from lab.commands.options import DesignName, Json, Markdown, Preset, enforce, settings_for
from lab.designs import NAMES, find_design
from lab.output.console import err, print_json


def build(
    design: DesignName,
    preset: Preset = None,
    from_step: Annotated[str | None, typer.Option("--from", help="run this step and all later ones again")] = None,
    naive: Annotated[
        bool | None,
        typer.Option(
            "--with-naive-hydration/--without-naive-hydration",
            help="also fill the online store with item columns, to see what reading them costs; remembered",
        ),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="learn from a real log instead: criteo:FILE or csv:FILE, plain or in gzip")
    ] = None,
    label: Annotated[str | None, typer.Option(help="of csv:FILE, the column that says what was clicked")] = None,
    split: Annotated[
        str | None, typer.Option(help="the last fifth of --data is tested: of its rows (default), or time:COLUMN")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="print no summary")] = False,
    as_json: Json = False,
) -> None:
    """Make the data, features, model, index and release of a design; steps that are done are skipped."""
    if data is not None:
        if from_step is not None or naive is not None:
            raise UsageError("--from and --with-naive-hydration are of the generated world, not of --data")
        _build_log(design, preset, ClickLog.of(data, label, split), quiet=quiet, as_json=as_json)
        return
    if label is not None or split is not None:
        raise UsageError("--label and --split are for --data", hint="as in --data csv:clicks.csv --label click")
    from infra.build.fingerprints import choose_option
    from lab.services.building import run_build, stop_at_once

    stop_at_once()
    settings = settings_for(preset)
    stop_with_parent(settings.parent_pipe)
    _quiet_libraries()
    started = time.perf_counter()
    if naive is not None:
        choose_option(find_design(design), settings, "naive-hydration", chosen=naive)
    runs = run_build(find_design(design), settings, from_step=from_step)
    if as_json:
        keys = ("name", "skipped", "seconds", "peak_mb", "facts")
        print_json([{key: getattr(run, key) for key in keys} for run in runs])
    elif not quiet:
        err.print(f"built {design} ({settings.preset}) in {time.perf_counter() - started:.1f} s")


def evaluate(
    design: DesignName,
    preset: Preset = None,
    as_json: Json = False,
    as_markdown: Markdown = False,
) -> None:
    """Quality of the model that was built, against the log and against the oracle; exit code 3 below a bound."""
    from infra.build.fingerprints import is_built, step_paths
    from infra.evaluation.figures import read_figures
    from lab.output.figures import show_figures
    from lab.services.building import run_build
    from lab.sweeps.open import measure_quality

    found, settings = find_design(design), settings_for(preset)
    _quiet_libraries()
    if not is_built(found, settings):
        run_build(found, settings)
    paths = step_paths(found, settings)
    figures = read_figures(paths[found.evaluate]) + measure_quality(found, settings, paths[found.steps[-1].name])
    show_figures(figures, as_json=as_json, as_markdown=as_markdown)
    enforce(figures)


def bench(
    what: Annotated[str, typer.Argument(help=f"one of: {', '.join((*NAMES, 'stream'))}")],
    only: Annotated[str | None, typer.Option(help="ids of figures, separated by commas; all by default")] = None,
    rounds: Annotated[int, typer.Option(min=1, max=20, help="for figures that are measured more than once")] = 5,
    as_json: Json = False,
    as_markdown: Markdown = False,
) -> None:
    """Measure the figures that a design promises, in a fresh clone of this repository, or those of the event stream,
    with a lab of its own; exit code 3 below a bound."""
    from lab.output.figures import show_figures

    ids = only.split(",") if only else None
    if what == "stream":
        from lab.bench.stream.run import measure_stream

        figures = measure_stream(ids, rounds, settings_for(None))
    else:
        from lab.bench.run import measure

        figures = measure(find_design(what), ids, rounds)
    show_figures(figures, as_json=as_json, as_markdown=as_markdown)
    enforce(figures)


def _build_log(design: str, preset: str | None, source: ClickLog, *, quiet: bool, as_json: bool) -> None:
    from lab.output.logged import build_log, show_log
    from lab.services.building import stop_at_once

    stop_at_once()
    settings = settings_for(preset)
    stop_with_parent(settings.parent_pipe)
    show_log(build_log(find_design(design), settings, source), as_json=as_json, quiet=quiet)


def _quiet_libraries() -> None:
    logging.getLogger("feast").setLevel(logging.WARNING)
