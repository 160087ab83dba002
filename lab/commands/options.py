"""Options that several commands share, and the settings that they select."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import typer

from infra.errors import BudgetBroken, Inconclusive, UsageError
from infra.evaluation.figures import Figure
from infra.evaluation.shares import Judgement
from infra.settings import Settings
from lab.designs import NAMES

DesignName = Annotated[str, typer.Argument(help=f"one of: {', '.join(NAMES)}")]
Preset = Annotated[
    Literal["smoke", "small", "medium", "large"] | None,
    typer.Option(help="size of the world; by default LAB_PRESET or small"),
]
Json = Annotated[bool, typer.Option("--json", help="print JSON")]
Markdown = Annotated[bool, typer.Option("--markdown", help="print a Markdown table")]
Publish = Annotated[
    bool, typer.Option("--publish", help="also write designs/figures/NAME.json and .md, and the README's table")
]
LoadUsers = Annotated[
    int | None,
    typer.Option(
        min=1, max=1000, help="simulated users, each with 5 requests per second; the default depends on the design"
    ),
]
ELSEWHERE = "choose a directory that you may write to, with --out"
Url = Annotated[str | None, typer.Option(help="address of the service")]


def settings_for(preset: str | None) -> Settings:
    """Settings from the environment; a preset on the command line replaces the one of the environment."""
    try:
        return Settings.model_validate({"preset": preset}) if preset else Settings()
    except ValueError as exc:
        raise UsageError(
            f"the environment is not valid: {exc}", hint="check the variables that begin with LAB_"
        ) from exc


def enforce(figures: Sequence[Figure]) -> None:
    """Raise `BudgetBroken` (exit code 3) if a figure misses its bound."""
    broken = [figure.id for figure in figures if figure.met is False]
    if broken:
        raise BudgetBroken(f"figures that miss their bound: {', '.join(broken)}")


def enforce_judgements(judgements: Mapping[str, Judgement], disturbances: Sequence[str]) -> None:
    """Raise `BudgetBroken` (exit code 3) if a limit is broken, `Inconclusive` (5) if one could not be judged."""

    def named(judgement: Judgement) -> str:
        return ", ".join(name for name, found in judgements.items() if found is judgement)

    overall = Judgement.of_all(judgements.values())
    if overall is Judgement.BROKEN:
        raise BudgetBroken(f"broken: {named(overall)}")
    if overall is Judgement.INCONCLUSIVE:
        raise Inconclusive(
            f"inconclusive: {named(overall)} did not hold, but {'; '.join(disturbances)}",
            hint="run it again while nothing else uses the machine",
        )
    if overall is Judgement.TOO_FEW:
        raise Inconclusive(
            f"inconclusive: too few requests to judge {named(overall)}", hint="run it with more --seconds"
        )
