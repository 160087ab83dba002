"""The command that simulates the users of a running service: live."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated

import typer

from infra.design import resolve
from infra.errors import BudgetBroken
from infra.live.world_shift import ShiftWatch
from lab.commands.options import DesignName, Json, Preset, Url, settings_for
from lab.designs import find_design
from lab.output.console import err, print_json, print_table
from lab.people.live_tally import Tally

TELL_EVERY_S = 10.0
FILE = "events.jsonl"
WRONG = ("degraded", "shed", "failed", "dropped", "events_given_up", "publishing_given_up")


def live(
    design: DesignName,
    rate: Annotated[float, typer.Option(min=0.01, max=1000, help="approximate number of requests per second")] = 5.0,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="seconds to run; without it, until Ctrl-C")] = None,
    seed: Annotated[int, typer.Option(min=0, help="seed of the simulated users and their reactions")] = 0,
    directory: Annotated[Path | None, typer.Option("--out", help=f"write events to {FILE} in this directory")] = None,
    preset: Preset = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Simulate the users and creators of a running design, and compare their behaviour with the oracle.

    Users react by the true click model. Reading time is skipped: a user reacts at once, and requests the next page as
    soon as the service has accepted the events. Users live in the world as `lab world shift` has changed it. Exit code
    3 if no request was answered, 4 if the service cannot be reached.
    """
    from lab.people.living import CLOCK, Living
    from lab.services.client import call, service_url

    found, settings = find_design(design), settings_for(preset)
    base = url or service_url(found, settings)
    served, now_ts = call("GET", f"{base}/v1/design")["preset"], float(call("GET", f"{base}{CLOCK}")["now"])
    with err.status("creating the simulated users") if err.is_terminal else nullcontext():
        people = resolve(found.people)(found.configuration(served), seed)
    if now_ts >= people.until_ts:
        err.print("creators publish no more posts: world time is past their last generated post")
    if directory is not None:
        directory.mkdir(parents=True, exist_ok=True)
    with (directory / FILE).open("w") if directory else nullcontext() as file, _progress() as report:
        shifts = ShiftWatch(settings.design_root(found.name))
        living = Living(people, base, found.ask.path, now_ts, events=file, shifts=shifts, tell=_tell)
        lasted_s = living.run(rate, seconds, report)
    rows, counts = living.tally.rows(), living.tally.counted()
    if as_json:
        run = {"url": base, "preset": served, "seed": seed, "rate_per_s": rate, "seconds": round(lasted_s, 3)}
        print_json({**run, "counts": counts, "measures": rows})
    else:
        columns = ("id", "value", "low", "high", "expected", "unit", "measure")
        print_table(columns, [[row[name] for name in columns] for row in rows], title=f"{lasted_s:,.0f} s of visits")
        print_table(("count", ""), [[name.replace("_", " "), number] for name, number in counts.items()])
    if living.refusal:
        err.print(f"refused: {living.refusal}", markup=False, soft_wrap=True)
    if not living.tally.counts.answered:
        raise BudgetBroken("no request was answered", hint=f"check {base}/readyz")


def _tell(line: str) -> None:
    err.print(line, markup=False, soft_wrap=True)


@contextmanager
def _progress() -> Iterator[Callable[[float, Tally], None]]:
    """Report progress: one updated line on a terminal, one line every few seconds elsewhere."""
    if err.is_terminal:
        with err.status("simulating users") as status:
            yield lambda at_s, tally: status.update(_line(at_s, tally))
        return
    printed_s = -TELL_EVERY_S

    def report(at_s: float, tally: Tally) -> None:
        nonlocal printed_s
        if at_s - printed_s >= TELL_EVERY_S:
            printed_s = at_s
            err.print(_line(at_s, tally), markup=False, soft_wrap=True)

    yield report


def _line(at_s: float, tally: Tally) -> str:
    counts = tally.counted()
    wrong = {name: counts[name] for name in WRONG}
    parts = [f"{counts['requests']:,} requests", f"{counts['sessions']:,} sessions"]
    parts += [f"{counts['events_accepted']:,} events", f"{counts['published']:,} published"]
    parts += [f"{number:,} {name.replace('_', ' ')}" for name, number in wrong.items() if number]
    return f"{time.strftime('%H:%M:%S', time.gmtime(at_s))}  {', '.join(parts)}"
