"""The front page of a service: its description, a form that sends one request, and the latency of each stage.

All designs share the template, which is filled from the `Design` value. The page loads no external resources.
"""

from __future__ import annotations

import html
from dataclasses import asdict
from pathlib import Path

import orjson

from infra.design import Argument, Budget, Design, Knob

TEMPLATE = Path(__file__).with_name("page.html")


def render_page(design: Design, preset: str) -> str:
    """Return the page as HTML, with the design's form, knobs and budgets."""
    knobs = [knob for knob in design.knobs(preset) if knob.per_request]
    settings = {
        "path": design.ask.path,
        "picture": design.ask.picture,
        "rows": design.ask.rows,
        "columns": design.ask.columns,
        "arguments": [asdict(argument) for argument in design.ask.arguments],
        "budget_ms": next((budget.limit for budget in design.budgets if budget.unit == "ms"), None),
    }
    fields = "".join(_argument_input(argument) for argument in design.ask.arguments)
    turned = "".join(
        f'<label title="{html.escape(knob.trades)}"><span>{knob.name} <small>{html.escape(knob.unit)}</small></span>'
        f"{_knob_input(knob)}</label>"
        for knob in knobs
    )
    promises = "".join(f"<li>{html.escape(budget.promise)}: <b>{_limit(budget)}</b></li>" for budget in design.budgets)
    replacements = {
        "{{title}}": html.escape(design.title),
        "{{summary}}": html.escape(design.summary),
        "{{preset}}": html.escape(preset),
        "{{fields}}": fields,
        "{{knobs}}": turned,
        "{{promises}}": promises,
        "{{settings}}": orjson.dumps(settings).decode().replace("<", "\\u003c"),
    }
    page = TEMPLATE.read_text()
    for mark, text in replacements.items():
        page = page.replace(mark, text)
    return page


def _argument_input(argument: Argument) -> str:
    value = ",".join(map(str, argument.default)) if isinstance(argument.default, list) else argument.default
    kind = "number" if argument.type in ("int", "float") else "text"
    return (
        f'<label title="{html.escape(argument.help)}"><span>{html.escape(argument.option)}</span>'
        f'<input type="{kind}" name="arg:{argument.field}" value="{html.escape(str(value))}"></label>'
    )


def _knob_input(knob: Knob) -> str:
    if knob.choices:
        options = "".join(f'<option value="{name}">{name}</option>' for name in knob.choices if name != knob.default)
        return f'<select name="knob:{knob.name}"><option value="">{knob.default}</option>{options}</select>'
    step = 1 if knob.is_integer else "any"
    return (
        f'<input type="number" name="knob:{knob.name}" min="{knob.low:g}" max="{knob.high:g}" step="{step}" '
        f'placeholder="{knob.default:g}">'
    )


def _limit(budget: Budget) -> str:
    sign = "≤" if budget.kind == "at_most" else "≥"
    return f"{sign} {budget.limit:g} {budget.unit}".strip()
