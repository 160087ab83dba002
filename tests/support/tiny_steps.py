"""A toy build of three steps, and a build with an optional step, for tests of the build runner."""

from __future__ import annotations

import json

from infra.build.runner import StepContext, StepRun
from infra.design import Step
from infra.settings import Settings
from tests.support.tiny import tiny_design

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
