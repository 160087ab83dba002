"""`lab bench compose`: measures the composed setting in a Compose project of its own, with the default preset.

A start from nothing rebuilds every layer of the images. It uses base images and downloads that the machine already has.
The run needs a Docker engine and takes about half an hour.
"""

from __future__ import annotations

from collections.abc import Sequence

from infra.errors import UsageError
from infra.evaluation.figures import Bound, Figure, of_rounds
from lab.bench.compose.airflow import measure_airflow
from lab.bench.compose.faults import measure_faults
from lab.bench.compose.starts import measure_starts
from lab.services.composing import Stack, engine_or_raise

NAME, PRESET = "compose", "small"
COMPOSE_BOUNDS = (
    Bound(
        "compose_first_s", "`docker compose up --build`, caches warm → all healthy and a slate", "s", "<= 300", "<= 180"
    ),
    Bound(
        "compose_all_first_s",
        "the same with `--profile all` → all healthy and all designs answer",
        "s",
        "<= 720",
        "<= 420",
    ),
    Bound(
        "compose_again_s", "`docker compose up` again, volumes kept → all healthy and a slate", "s", "<= 60", "<= 20"
    ),
    Bound("compose_all_again_s", "the same with `--profile all` → all designs answer", "s", "<= 120", "<= 60"),
    Bound("compose_mb", "memory in use by all containers, the feed alone", "MB", "<= 1500", "<= 1300"),
    Bound("compose_designs_mb", "memory of all containers but Airflow's, three designs", "MB", "<= 2800", "<= 2200"),
    Bound("compose_all_mb", "memory of all containers, three designs and Airflow", "MB", "<= 3500", "<= 2800"),
    Bound(
        "airflow_idle_mb",
        "memory (PSS) of Airflow's API server and scheduler, no task running",
        "MB",
        "<= 600",
        "<= 490",
    ),
    Bound("airflow_healthy_s", "Airflow's containers started again → both healthy", "s", "<= 40", "<= 20"),
    Bound("airflow_task_s", "a step that is up to date as a task, minus the same command alone", "s", "<= 3", "<= 1.3"),
    Bound("image_mb", "size of the image of builds and checks", "MB", "<= 2400", "<= 1500"),
    Bound("serving_image_mb", "size of the image of services and workers", "MB", "<= 1300", "<= 900"),
    Bound(
        "alert_seen_s", "`docker compose stop redis` → `lab alerts` lists the alert, real clock", "s", "<= 180", "<= 90"
    ),
    Bound(
        "replica_lost",
        "failed requests / requests in flight, one of two replicas killed under load",
        "×",
        "<= 1",
        "<= 0",
    ),
)
STARTS = frozenset(
    {
        *("compose_first_s", "compose_again_s", "compose_mb", "image_mb", "serving_image_mb"),
        *("compose_all_first_s", "compose_all_again_s", "compose_designs_mb", "compose_all_mb"),
    }
)
AIRFLOW = frozenset({"airflow_idle_mb", "airflow_healthy_s", "airflow_task_s"})
FAULTS = frozenset({"alert_seen_s", "replica_lost"})


def measure_compose(only: Sequence[str] | None, rounds: int) -> list[Figure]:
    """Measure the figures and return them in the order of `COMPOSE_BOUNDS`. Raises `UsageError` for an unknown id."""
    bounds = {bound.id: bound for bound in COMPOSE_BOUNDS}
    if unknown := set(only or ()) - set(bounds):
        raise UsageError(f"there is no figure {', '.join(sorted(unknown))}", hint=f"choose one of: {', '.join(bounds)}")
    wanted = {name for name in bounds if not only or name in only}
    engine_or_raise()
    found: dict[str, list[float]] = {}
    stack = Stack("lab-bench", settings={"LAB_PRESET": PRESET})
    stack.down()
    try:
        if wanted & STARTS:
            measure_starts(stack, wanted, rounds, found)
        if wanted & FAULTS:
            measure_faults(stack, wanted, rounds, found)
        if wanted & AIRFLOW:
            measure_airflow(stack, wanted, rounds, found)
    finally:
        stack.down()
    return [of_rounds(bounds[name], found[name]) for name in bounds if name in wanted and name in found]
