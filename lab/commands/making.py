"""Commands that build and measure: build, evaluate, bench."""

from __future__ import annotations

import datetime
import logging
import time
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.errors import UsageError
from infra.parent import stop_with_parent
from lab.commands.options import DesignName, Json, Markdown, Preset, Publish, enforce, settings_for
from lab.commands.real_files import (
    Data,
    Duration,
    FromLonLat,
    Graph,
    Label,
    PickupTime,
    Split,
    ToLonLat,
    Zones,
    build_files,
)
from lab.designs import NAMES, find_design
from lab.output.console import err, print_json

if TYPE_CHECKING:
    from lab.output.published import Run, Section


def build(
    design: DesignName,
    preset: Preset = None,
    from_step: Annotated[str | None, typer.Option("--from", help="run this step and all later ones again")] = None,
    only: Annotated[str | None, typer.Option(help="run this step and no other, as a task of an orchestrator")] = None,
    date: Annotated[
        str | None,
        typer.Option(
            "--as-of",
            metavar="YYYY-MM-DD",
            help="read only the data before this date (UTC); a build in the past is kept beside and not served",
        ),
    ] = None,
    force: Annotated[
        str | None, typer.Option(metavar="RUN_ID", help="with --only: run the step again, once per RUN_ID")
    ] = None,
    challenger: Annotated[
        bool, typer.Option("--challenger", help="with --only: a new model begins a rollout instead of serving at once")
    ] = False,
    wait: Annotated[
        float, typer.Option(min=0.0, metavar="SECONDS", help="wait so long for another build of the design to end")
    ] = 0.0,
    naive: Annotated[
        bool | None,
        typer.Option(
            "--with-naive-hydration/--without-naive-hydration",
            help="also write item features to the online store, to measure the cost of reading them; remembered",
        ),
    ] = None,
    data: Data = None,
    split: Split = None,
    label: Label = None,
    graph: Graph = None,
    zones: Zones = None,
    pickup_time: PickupTime = None,
    duration: Duration = None,
    from_lonlat: FromLonLat = None,
    to_lonlat: ToLonLat = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="print no summary")] = False,
    as_json: Json = False,
) -> None:
    """Build data, features, model, index and release of a design; steps that are up to date are skipped."""
    files = {
        "data": data,
        "split": split,
        "label": label,
        "graph": graph,
        "zones": zones,
        "pickup_time": pickup_time,
        "duration": duration,
        "from_lonlat": from_lonlat,
        "to_lonlat": to_lonlat,
    }
    given = {name: value for name, value in files.items() if value is not None}
    alone = {"--only": only, "--force": force, "--as-of": date, "--from": from_step}
    if given:
        used = [name for name, value in alone.items() if value is not None]
        if used or naive is not None or wait:
            raise UsageError(
                "--from, --only, --force, --as-of, --wait and --with-naive-hydration apply to the generated world, "
                "not to your own files"
            )
        build_files(design, preset, given, quiet=quiet, as_json=as_json)
        return
    if only is not None and (from_step is not None or naive is not None):
        raise UsageError("--only runs one step; leave out --from and --with-naive-hydration")
    if force is not None and only is None:
        raise UsageError("--force needs --only", hint="to run several steps again: --from STEP")
    if challenger and only is None:
        raise UsageError("--challenger needs --only", hint=f"a whole build that begins a rollout: lab retrain {design}")
    if date is not None and (from_step is not None or naive is not None):
        raise UsageError("--as-of builds beside the served build; leave out --from and --with-naive-hydration")
    from infra.build.as_of import as_of
    from infra.build.fingerprints import choose_option
    from infra.build.single_step import build_step
    from lab.services.building import run_build, stop_at_once, with_progress

    stop_at_once()
    settings = settings_for(preset)
    stop_with_parent(settings.parent_pipe)
    _quiet_libraries()
    started = time.perf_counter()
    found = find_design(design)
    if date is not None:
        found = as_of(found, settings, _date(date))
    if naive is not None:
        choose_option(found, settings, "naive-hydration", chosen=naive)
    if only is None:
        runs = run_build(found, settings, from_step=from_step, wait_s=wait)
    else:
        runs = [
            with_progress(
                lambda observer: build_step(
                    found, settings, only, run_id=force or "", wait_s=wait, as_challenger=challenger, observer=observer
                )
            )
        ]
    if as_json:
        keys = ("name", "skipped", "seconds", "peak_mb", "facts")
        print_json([{key: getattr(run, key) for key in keys} for run in runs])
    elif not quiet:
        what = design if only is None else f"the step {only} of {design}"
        when = f", as of {found.as_of}" if found.as_of else ""
        err.print(f"built {what} ({settings.preset}{when}) in {time.perf_counter() - started:.1f} s")


def _date(text: str) -> datetime.date:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--as-of takes a date, not {text!r}", hint="for example: --as-of 2026-01-16") from None


def evaluate(
    design: DesignName,
    preset: Preset = None,
    publish: Publish = False,
    as_json: Json = False,
    as_markdown: Markdown = False,
) -> None:
    """Measure the built model against the log and the oracle; exit code 3 if a figure misses its bound."""
    from infra.build.current import is_built
    from infra.build.fingerprints import step_paths
    from infra.evaluation.figures import read_figures
    from lab.output.figures import show_figures
    from lab.output.measured import measured_here
    from lab.output.published import Run
    from lab.services.building import run_build
    from lab.sweeps.open import measure_holdout, measure_quality

    found, settings = find_design(design), settings_for(preset)
    here = measured_here(settings.preset)
    _quiet_libraries()
    if not is_built(found, settings):
        run_build(found, settings)
    paths = step_paths(found, settings)
    figures = [
        *read_figures(paths[found.evaluate]),
        *measure_holdout(found, settings, paths),
        *measure_quality(found, settings, paths[found.steps[-1].name]),
    ]
    if publish:
        _publish(design, "evaluate", Run(here, tuple(figures)))
    show_figures(figures, as_json=as_json, as_markdown=as_markdown)
    enforce(figures)


def bench(
    what: Annotated[
        str,
        typer.Argument(
            help=f"one of: {', '.join((*NAMES, 'stream', 'together', 'compose', 'loop', 'versions', 'growth'))}"
        ),
    ],
    only: Annotated[str | None, typer.Option(help="ids of figures, separated by commas; all by default")] = None,
    rounds: Annotated[
        int, typer.Option(min=1, max=20, help="number of rounds, for figures that are measured more than once")
    ] = 5,
    against: Annotated[
        Path | None, typer.Option(help="versions: a checkout of an older version, with its environment")
    ] = None,
    publish: Publish = False,
    as_json: Json = False,
    as_markdown: Markdown = False,
) -> None:
    """Measure the figures that a design promises, in a fresh clone of this repository, of the event stream
    or of the learning loop with a lab of its own, of all designs together, or of the composed setting with Docker, or
    the speed of this version in relation to an older one; exit code 3 below a bound. `growth` shows how cost grows
    with the size of the world, and has no bounds; its `--only` takes names of designs."""
    from lab.output.figures import show_figures
    from lab.output.measured import measured_here
    from lab.output.published import Run

    ids = only.split(",") if only else None
    if what == "growth":
        _growth(ids, rounds, publish=publish)
        return
    if what == "stream":
        from lab.bench.stream.run import STREAM_BOUNDS, measure_stream
        from lab.bench.up import PRESET as preset

        here, keep = measured_here(preset), [bound.id for bound in STREAM_BOUNDS]
        figures = measure_stream(ids, rounds, settings_for(None))
    elif what == "together":
        from lab.bench.together import PRESET as preset
        from lab.bench.together import TOGETHER_BOUNDS, measure_together

        here, keep = measured_here(preset), [bound.id for bound in TOGETHER_BOUNDS]
        figures = measure_together(ids, rounds, settings_for(None).home)
    elif what == "compose":
        from lab.bench.compose.run import COMPOSE_BOUNDS, measure_compose
        from lab.bench.compose.run import PRESET as preset

        here, keep = measured_here(preset), [bound.id for bound in COMPOSE_BOUNDS]
        figures = measure_compose(ids, rounds)
    elif what == "loop":
        from lab.bench.loop.run import LOOP_BOUNDS, measure_loop
        from lab.bench.up import PRESET as preset

        here, keep = measured_here(preset), [bound.id for bound in LOOP_BOUNDS]
        figures = measure_loop(ids, rounds, settings_for(None).home)
    elif what == "versions":
        from lab.bench.versions.checkout import PRESET as preset
        from lab.bench.versions.run import VERSION_BOUNDS, measure_versions

        if against is None:
            hint = "for example: git worktree add ../older COMMIT && make -C ../older env, then --against ../older"
            raise UsageError("lab bench versions needs the checkout of an older version", hint=hint)
        here, keep = measured_here(preset), [bound.id for bound in VERSION_BOUNDS]
        figures = measure_versions(ids, rounds, against.resolve(), settings_for(None).home)
    else:
        from lab.bench.run import measure
        from lab.bench.service import PRESET as preset

        here, keep = measured_here(preset), [bound.id for bound in find_design(what).bench]
        figures = measure(find_design(what), ids, rounds)
    if publish:
        _publish(what, "bench", Run(here, tuple(figures)), keep)
    show_figures(figures, as_json=as_json, as_markdown=as_markdown)
    enforce(figures)


def _growth(only: Collection[str] | None, rounds: int, *, publish: bool) -> None:
    """Measure how cost grows, and print or publish the tables."""
    from lab.bench.growth.page import DIRECTORY, page_of, publish_growth
    from lab.bench.growth.run import measure_growth

    for name, growth in measure_growth(list(only) if only else None, rounds, settings_for(None).home):
        print(page_of({name: growth}))
        if publish:
            publish_growth({name: growth})
            err.print(f"published: {DIRECTORY}", markup=False, soft_wrap=True)


def _publish(name: str, section: Section, run: Run, keep: Collection[str] = ()) -> None:
    """Write this run into `designs/figures/` and the README's table; older figures that `keep` names stay."""
    from lab.output.headline import refresh_readme
    from lab.output.published import DIRECTORY, read_published, write_published

    write_published(read_published(name).with_run(section, run, keep))
    refresh_readme()
    err.print(f"published: {DIRECTORY / name}.md", markup=False, soft_wrap=True)


def _quiet_libraries() -> None:
    logging.getLogger("feast").setLevel(logging.WARNING)
