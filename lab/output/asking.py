"""`lab ask`: builds one request to a design and shows the response with its trace."""

from __future__ import annotations

import contextlib
import html
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from infra.design import Argument, Design
from infra.errors import UsageError
from lab.output.console import out, print_table


def request_body(design: Design, words: Sequence[str]) -> dict[str, Any]:
    """Build the request body from `--option value …`; `--knob name=value` may be repeated.

    Raises `UsageError` for an unknown option, a missing value, or text where a number is expected.
    """
    arguments = {argument.option: argument for argument in design.ask.arguments}
    body = design.ask.example()
    knobs: dict[str, float | str] = {}
    for option, value in _pairs(words):
        if option == "knob":
            name, _, number = value.partition("=")
            knobs[name] = _knob(design, name, number)
        elif option in arguments:
            arguments[option].put(body, _parse(arguments[option], value))
        else:
            known = ", ".join(f"--{name}" for name in (*arguments, "knob"))
            raise UsageError(f"{design.name} takes no option --{option}", hint=f"options: {known}")
    return body | ({"knobs": knobs} if knobs else {})


def show_answer(design: Design, answer: dict[str, Any]) -> None:
    columns = design.ask.columns
    rows = [[_blank(row[column]) for column in columns] for row in answer[design.ask.rows]]
    print_table(columns, rows, title=f"{design.title}: {len(rows)} results from {answer['model_version']}")
    out.print()
    stages = [
        [
            stage["stage"],
            stage["name"],
            round(stage["time_ms"], 3),
            stage["count_in"],
            stage["count_out"],
            stage["detail"] or ", ".join(f"{why} {count}" for why, count in stage["removed"].items() if count),
        ]
        for stage in answer["trace"]
    ]
    print_table(("stage", "part", "ms", "in", "out", "removed, or reason of degradation"), stages, title="Trace")
    total = sum(stage["time_ms"] for stage in answer["trace"])
    state = f"degraded: {', '.join(answer['degraded'])}" if answer["degraded"] else "not degraded"
    cold = "; this user has no history (cold start)" if answer.get("is_cold_start") else ""
    out.print(f"\n{total:.1f} ms in all stages; {state}{cold}", markup=False)


def write_picture(page: Path, design: Design, svg: str) -> None:
    """Write a page that shows the drawing of a response and loads nothing, and print its path."""
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(design.title)}</title>'
        f"<style>body {{ margin: 1rem auto; max-width: 62rem; }} svg {{ width: 100%; }}</style></head>"
        f"<body>\n{svg}\n</body></html>\n"
    )
    out.print(f"map: {page}", markup=False)


def _blank(value: Any) -> Any:
    return "" if value is None else value


def _pairs(words: Sequence[str]) -> list[tuple[str, str]]:
    pairs = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            raise UsageError(f"{word!r} is not an option", hint="write options as --name value")
        name, equals, value = word[2:].partition("=")
        if not equals:
            if not rest:
                raise UsageError(f"--{name} needs a value")
            value = rest.pop(0)
        pairs.append((name, value))
    return pairs


def _knob(design: Design, name: str, text: str) -> float | str:
    """Parse a knob's value: a name for a knob with choices, else a number. The service validates the value."""
    is_choice = any(knob.choices for knob in design.knobs("small") if knob.name == name)
    return text if is_choice else _number(f"--knob {name}", text)


def _parse(argument: Argument, value: str) -> Any:
    if argument.type == "str":
        return value
    if argument.type == "ints":
        return [_number(f"--{argument.option}", part) for part in value.split(",") if part.strip()]
    return _number(f"--{argument.option}", value)


def _number(what: str, text: str) -> float:
    """Parse an int or a finite float. An integer stays an int, because JSON distinguishes 3 from 3.0."""
    with contextlib.suppress(ValueError):
        return int(text)
    with contextlib.suppress(ValueError):
        if math.isfinite(number := float(text)):
            return number
    raise UsageError(f"{what} takes a number, not {text!r}")
