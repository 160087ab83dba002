"""`lab bench versions --against CHECKOUT`: the speed of this version in relation to that of an older one.

Both labs run at the same time with the preset small, and the load goes to one after the other, in an order that changes
with each round, so that both meet the same machine. Both get requests at the same rate: half of what the older version
can serve.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np

from infra.design import Design
from infra.errors import UsageError
from infra.evaluation.figures import Bound, Figure, of_rounds
from infra.settings import REPOSITORY
from lab.bench.versions.checkout import VersionLab, lab_of, python_of
from lab.bench.versions.questions import questions
from lab.designs import find_design
from lab.load.open_loop import Client, Question, capacity_per_s, open_loop
from lab.output.console import err
from lab.output.measured import commit_of

CLIENTS, CAPACITY_S, LOAD_S, SHARE_OF_OLDER = 4, 6.0, 15.0, 0.5
EACH = 7_001
"""distance between the first requests of two measurements, so that the second does not begin with the users of the
first"""
SHORT = {"feed_ranking": "feed", "ctr_prediction": "ads", "eta_prediction": "rides"}
WHAT = {
    "service_cpu": "processor time of the service for a request",
    "worker_cpu": "processor time of the worker for a request",
    "cold_capacity": "requests a second of 4 clients, each about another user or place than the last",
    "warm_capacity": "requests a second of 4 clients, about few users",
    "p99": "p99 of a request at half of the older version's capacity",
}
MUSTS = {
    "feed_service_cpu": "<= 0.5",
    "feed_worker_cpu": "<= 0.6",
    "feed_cold_capacity": ">= 1.7",
    "ads_cold_capacity": ">= 1.3",
    "ads_warm_capacity": ">= 1.4",
}
VERSION_BOUNDS = tuple(
    Bound(f"{short}_{what}", f"{short}: {text}, this version / the older one", "×", MUSTS.get(f"{short}_{what}"))
    for short in SHORT.values()
    for what, text in WHAT.items()
)


def measure_versions(only: Sequence[str] | None, rounds: int, older: Path, home: Path) -> list[Figure]:
    """Measure the ratios of all designs that the checkout `older` has, in the order of `VERSION_BOUNDS`. The builds
    stay in `home` for the next run.

    Raises `UsageError` for an unknown id, or if `older` is no checkout with an environment.
    """
    bounds = {bound.id: bound for bound in VERSION_BOUNDS}
    if unknown := set(only or ()) - set(bounds):
        raise UsageError(f"there is no figure {', '.join(sorted(unknown))}", hint=f"choose one of: {', '.join(bounds)}")
    python_of(older)
    figures, commit = [], commit_of(older)
    for name, short in SHORT.items():
        wanted = [f"{short}_{what}" for what in WHAT if not only or f"{short}_{what}" in only]
        if wanted and (older / name).is_dir():
            found = _ratios(find_design(name), older, home / "bench-versions", rounds)
            for one in wanted:
                figure = of_rounds(bounds[one], found[one.removeprefix(f"{short}_")])
                figures.append(replace(figure, description=f"{figure.description} (`{commit}`)"))
    return figures


def _ratios(design: Design, older: Path, home: Path, rounds: int) -> Mapping[str, list[float]]:
    """What is measured -> its ratio in each round. A round before the first warms up and does not count."""
    found: dict[str, list[float]] = {what: [] for what in WHAT}
    numbers = count(0, EACH)
    with ExitStack() as stack:
        labs = []
        for version, checkout in (("older", older), ("newer", REPOSITORY)):
            err.print(f"building {design.name} of the {version} version and starting it …", soft_wrap=True)
            labs.append(stack.enter_context(lab_of(checkout, design, home / version)))
        rate_per_s = SHARE_OF_OLDER * _capacity(labs[0], design, questions(design, next(numbers))["cold"])
        for number in range(rounds + 1):
            err.print(f"round {number} of {rounds}{' (to warm up)' if number == 0 else ''}, {rate_per_s:.0f}/s …")
            values: list[Mapping[str, float]] = [{}, {}]
            for place in (0, 1) if number % 2 else (1, 0):
                values[place] = _measured(labs[place], design, rate_per_s, numbers)
            for name, one in zip(("older", "newer"), values, strict=True):
                err.print(
                    f"  {name}: {', '.join(f'{what} {value:.3g}' for what, value in one.items())}", soft_wrap=True
                )
            if number > 0:
                for what in WHAT:
                    found[what].append(values[1][what] / values[0][what])
    return found


def _measured(lab: VersionLab, design: Design, rate_per_s: float, numbers: count[int]) -> Mapping[str, float]:
    """The values of one version: processor time in milliseconds."""
    client = Client(lab.url, design.ask.path, questions(design, next(numbers))["cold"])
    processes = lab.service, lab.worker
    before = [sum(one.cpu_times()[:2]) for one in processes]
    latencies = open_loop(client, rate_per_s=rate_per_s, seconds=LOAD_S, seed=0)
    service, worker = (sum(one.cpu_times()[:2]) - was for one, was in zip(processes, before, strict=True))
    asked = questions(design, next(numbers))
    return {
        "service_cpu": 1000 * service / len(latencies),
        "worker_cpu": 1000 * worker / len(latencies),
        "cold_capacity": _capacity(lab, design, asked["cold"]),
        "warm_capacity": _capacity(lab, design, asked["warm"]),
        "p99": float(np.quantile(latencies, 0.99)),
    }


def _capacity(lab: VersionLab, design: Design, question: Question) -> float:
    return capacity_per_s(Client(lab.url, design.ask.path, question), clients=CLIENTS, seconds=CAPACITY_S)
