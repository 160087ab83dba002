"""Commands that check the prediction log of a running design: replay, skew, candidates."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated

import typer

from infra.design import resolve
from infra.errors import BudgetBroken, LabError, UsageError
from infra.prediction_log.results import Compared, Measured, Replayed, parse_since
from lab.commands.options import DesignName, Json, Preset, enforce, settings_for
from lab.designs import find_design
from lab.output.console import err, out, print_json, print_table

SHOWN = 20
"""number of differences to print; `--json` prints all"""
SinceWhen = Annotated[str, typer.Option(help="10m (before the newest prediction), an ISO time in world time, or all")]


def replay(
    design: DesignName,
    since: SinceWhen = "all",
    limit: Annotated[int, typer.Option(min=1, help="check at most this many predictions, the newest")] = 1000,
    preset: Preset = None,
    as_json: Json = False,
) -> None:
    """Recompute logged predictions with the model version that made them; exit code 3 if a number differs."""
    from lab.sweeps.open import progress

    found, settings, when = find_design(design), settings_for(preset), parse_since(since)
    with progress("replaying") as report:
        done: Replayed = resolve(found.replay)(settings, when, limit, report)
    if as_json:
        print_json(asdict(done))
    else:
        if done.differences:
            rows = [[one.prediction, one.field, one.how] for one in done.differences[:SHOWN]]
            print_table(("prediction", "field", "difference"), rows)
        models = ", ".join(f"{count:,} by {name}" for name, count in done.models.items())
        same = "all numbers are equal" if not done.differing else f"{done.differing:,} differ"
        out.print(f"{done.checked:,} of {done.rows:,} predictions recomputed ({models or 'none'}): {same}")
    _print_skipped(done.left_out)
    if done.differing:
        raise BudgetBroken(f"{done.differing:,} of {done.checked:,} recomputed predictions differ from the log")
    _require_checked(done.checked)


def skew(
    design: DesignName,
    since: SinceWhen = "all",
    limit: Annotated[int, typer.Option(min=1, help="check at most this many predictions, a fixed random sample")] = 200,
    preset: Preset = None,
    as_json: Json = False,
) -> None:
    """Compare served features with the offline features of the same time; exit code 3 if any differs."""
    from lab.sweeps.open import progress

    logging.getLogger("feast").setLevel(logging.WARNING)
    found, settings, when = find_design(design), settings_for(preset), parse_since(since)
    with progress("comparing features") as report:
        done: Compared = resolve(found.skew)(settings, when, limit, report)
    if as_json:
        print_json(asdict(done))
    else:
        if done.skews:
            rows = [[one.feature, f"{one.share:.1%}", one.largest] for one in done.skews]
            print_table(("feature", "rows that differ", "largest gap"), rows)
        same = "all are equal" if not done.skews else f"{len(done.skews)} differ"
        out.print(f"{done.features} features of {done.checked:,} of {done.rows:,} predictions compared: {same}")
    _print_skipped(done.left_out)
    if done.skews:
        raise BudgetBroken(f"served and offline features differ: {', '.join(one.feature for one in done.skews)}")
    _require_checked(done.checked)


def candidates(
    design: DesignName,
    since: SinceWhen = "all",
    limit: Annotated[int, typer.Option(min=1, help="check at most this many predictions, a fixed random sample")] = 200,
    preset: Preset = None,
    as_json: Json = False,
) -> None:
    """Search the logged candidates for the best posts of all live posts; exit code 3 if they lack too much of them."""
    from lab.output.figures import show_figures
    from lab.sweeps.open import progress

    found, settings, when = find_design(design), settings_for(preset), parse_since(since)
    if not found.candidates:
        raise UsageError(f"{design} logs no candidates")
    with progress("ranking all posts") as report:
        done: Measured = resolve(found.candidates)(settings, when, limit, report)
    show_figures(done.figures, as_json=as_json, as_markdown=False)
    if not as_json:
        err.print(f"{done.checked:,} of {done.rows:,} predictions compared")
    _print_skipped(done.left_out)
    _require_checked(done.checked)
    enforce(done.figures)


def _print_skipped(left_out: Mapping[str, int]) -> None:
    for reason, count in left_out.items():
        err.print(f"{count:,} skipped: {reason}", markup=False, soft_wrap=True)


def _require_checked(checked: int) -> None:
    if not checked:
        raise LabError("no logged prediction could be checked")
