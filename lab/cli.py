"""The `lab` command. Standard output carries data; standard error carries messages.

Exit codes: 0 ok, 1 error, 2 usage, 3 budget broken, 4 a dependency does not answer, 5 inconclusive, 6 inputs missing,
7 busy, 8 data rejected, 10 a retraining is due.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import typer

from infra.errors import LabError
from lab.commands import (
    alerts,
    drills,
    living,
    logs,
    looking,
    making,
    profile,
    quality,
    running,
    trying,
    using,
)
from lab.commands.learning import (
    drift,
    models,
    plant,
    retraining,
    rollout,
    timeline,
    world,
)
from lab.designs import load_designs
from lab.output.console import print_error

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="ML System Design Lab: reference ML systems that run on one laptop.",
    epilog="Exit codes: 0 ok, 1 error, 2 usage, 3 budget or hypothesis broken, 4 a dependency does not answer, "
    "5 inconclusive (the machine was busy, or too few requests), 6 an earlier step of the build has no output, "
    "7 another build of the design runs, 8 a data-quality check of the log failed, "
    "10 a retraining is due (retrain --check).",
)
TRAINING_PACKAGES = frozenset(
    {"altair", "duckdb", "flax", "ibis", "jax", "lightgbm", "locust", "mlflow", "onnx", "optax", "orbax", "psycopg2"}
    | {"river", "sklearn", "uv", "vl_convert"}
)
"""Modules of the extra `training` in `pyproject.toml`. The image of the services does without them."""
ALL_PACKAGES = "with Docker: docker compose run --rm build COMMAND; without: make env"
LISTED: Sequence[Callable[..., None]] = (
    running.up,
    running.down,
    running.status,
    looking.doctor,
    looking.designs,
    making.build,
    retraining.retrain,
    rollout.rollout,
    rollout.promote,
    rollout.rollback,
    rollout.stop,
    models.models,
    timeline.timeline,
    running.serve,
    running.work,
    running.monitor,
    alerts.alerts,
    using.fault,
    plant.plant,
    using.load,
    profile.profile,
    living.live,
    drills.drills,
    drills.drill,
    quality.quality,
    making.evaluate,
    logs.replay,
    logs.skew,
    logs.candidates,
    drift.drift,
    trying.sweep,
    trying.feedback,
    making.bench,
)
for command in LISTED:
    app.command()(command)
app.add_typer(world.app, name="world")

# each design has its own options for `ask`, so the `ask` command parses the options instead of Typer
_options = (
    f"{design.name} takes {', '.join(f'--{item.option}' for item in design.ask.arguments)}" for design in load_designs()
)
app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    epilog=f"{'; '.join(_options)}. Every design takes --knob NAME=VALUE, any number of times.",
)(using.ask)


def main() -> None:
    """Entry point. Prints a `LabError` and its hint, and exits with its code; any other exception shows a traceback,
    but for a package that `requirements/serving.txt` lacks."""
    try:
        app()
    except LabError as exc:
        print_error(exc)
        sys.exit(exc.exit_code)
    except ModuleNotFoundError as exc:
        if exc.name not in TRAINING_PACKAGES:
            raise
        print_error(LabError(f"the package {exc.name} is not installed here, only those of serving", hint=ALL_PACKAGES))
        sys.exit(LabError.exit_code)
