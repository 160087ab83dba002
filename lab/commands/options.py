"""What the commands share: their common options, and the settings that they stand for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import typer

from infra.errors import BudgetBroken, UsageError
from infra.evaluation.figures import Figure
from infra.settings import Settings
from lab.designs import NAMES

DesignName = Annotated[str, typer.Argument(help=f"one of: {', '.join(NAMES)}")]
Preset = Annotated[
    Literal["smoke", "small", "large"] | None, typer.Option(help="size of the world; by default small, or LAB_PRESET")
]
Json = Annotated[bool, typer.Option("--json", help="print JSON")]
Markdown = Annotated[bool, typer.Option("--markdown", help="print a Markdown table")]
Url = Annotated[str | None, typer.Option(help="address of the service")]


def settings_for(preset: str | None) -> Settings:
    """Settings from the environment, with the preset of the command line where it names one."""
    try:
        return Settings.model_validate({"preset": preset}) if preset else Settings()
    except ValueError as exc:
        raise UsageError(
            f"the environment is not valid: {exc}", hint="look at the variables that begin with LAB_"
        ) from exc


def enforce(figures: Sequence[Figure]) -> None:
    """Raise `BudgetBroken` (exit code 3) if a figure misses its bound."""
    broken = [figure.id for figure in figures if figure.met is False]
    if broken:
        raise BudgetBroken(f"below the bound: {', '.join(broken)}")
