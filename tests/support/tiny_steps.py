"""A toy build of three steps, and a build with an optional step, for tests of the build runner."""

from __future__ import annotations

import json
import os
import signal

from infra.build.runner import StepContext, StepRun
from infra.design import Step
from infra.errors import UsageError
from infra.settings import Settings
from tests.support.tiny import tiny_design
from tests.support.waiting import until

DESIGN = tiny_design(
    Step("a", "tests.support.tiny_steps:make_a", "First", ("a",)),
    Step("b", "tests.support.tiny_steps:make_b", "Second", ("b",), after=("a",)),
    Step("c", "tests.support.tiny_steps:make_c", "Third", ("c",), after=("b",)),
)


EXTRA = Step("x", "tests.support.tiny_steps:make_x", "Extra", ("a",), after=("a",), option="extra")
LAST = Step("d", "tests.support.tiny_steps:make_d", "Last", (), after=("a", "x"))
WITH_OPTION = tiny_design(DESIGN.steps[0], EXTRA, DESIGN.steps[1], LAST)


def make_a(context: StepContext) -> dict[str, int]:
    (context.out / "a.txt").write_text(str(context.config.a.size))
    context.report(0.5, "half")
    return {"size": context.config.a.size}


def make_b(context: StepContext) -> None:
    (context.out / "b.txt").write_text((context.inputs["a"] / "a.txt").read_text() + " b")


def make_c(context: StepContext) -> None:
    assert set(context.inputs) == {"b"}
    (context.out / "c.txt").write_text((context.inputs["b"] / "b.txt").read_text() + " c")


def make_x(context: StepContext) -> None:
    (context.out / "x.txt").write_text("extra")


def make_d(context: StepContext) -> None:
    (context.out / "d.txt").write_text(" ".join(context.inputs))


def ran(runs: list[StepRun]) -> str:
    return "".join(run.name for run in runs if not run.skipped)


def current(settings: Settings) -> dict[str, str]:
    paths: dict[str, str] = json.loads((settings.design_root("tiny") / "current.json").read_text())
    return paths


LATE = tiny_design(
    DESIGN.steps[0],
    Step("slow", "tests.support.tiny_steps:make_slow", "Slow", (), after=("a",), aside=True),
    Step("fast", "tests.support.tiny_steps:make_fast", "Fast", (), after=("a",)),
    Step("end", "tests.support.tiny_steps:make_end", "End", (), after=("slow", "fast")),
)
"""`slow` waits for `fast`, which comes after it: only a build that runs it aside ends."""


def make_slow(context: StepContext) -> dict[str, int]:
    until((context.out.parents[1] / "fast.done").exists, "the step fast")
    (context.out / "slow.txt").write_text((context.inputs["a"] / "a.txt").read_text())
    return {"process": os.getpid()}


def make_fast(context: StepContext) -> dict[str, int]:
    (context.out.parents[1] / "fast.done").touch()
    return {"process": os.getpid()}


def make_end(context: StepContext) -> None:
    (context.out / "end.txt").write_text((context.inputs["slow"] / "slow.txt").read_text())


def make_refused(context: StepContext) -> None:
    raise UsageError("the step refuses", hint="turn a knob")


def make_killed(context: StepContext) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
