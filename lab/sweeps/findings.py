"""States the finding of a sweep in one sentence, generated from the measured numbers alone."""

from __future__ import annotations

from collections.abc import Sequence

from lab.sweeps.run import TIMES, Setting

NEAR = 0.01


def is_less_better(settings: Sequence[Setting], axis: str) -> bool:
    return axis in TIMES or not settings[0].scores[axis].more_is_better


def best_at(settings: Sequence[Setting], axis: str) -> Setting:
    """Return the best setting on this axis; the first one among equals."""
    sign = -1.0 if is_less_better(settings, axis) else 1.0
    return max(settings, key=lambda setting: sign * setting.value(axis))


def front(settings: Sequence[Setting], x: str, y: str) -> list[Setting]:
    """Return the Pareto front, sorted from the best to the worst `x`.

    A setting is on the front if no other setting is better on one axis and at least as good on the other.
    """
    sign_x, sign_y = (-1.0 if is_less_better(settings, axis) else 1.0 for axis in (x, y))
    ahead: list[Setting] = []
    for setting in sorted(settings, key=lambda s: (-sign_x * s.value(x), -sign_y * s.value(y))):
        if not ahead or sign_y * setting.value(y) > sign_y * ahead[-1].value(y):
            ahead.append(setting)
    return ahead


def finding(settings: Sequence[Setting], x: str, y: str) -> str:
    """State the finding in one sentence.

    With a time on `x`, the sentence names the setting with the best `y` and the fastest setting within `NEAR` of that
    value. Otherwise the sentence gives the changes of `x` and `y` from the best setting on `y` to the best on `x`.
    """
    top = best_at(settings, y)
    if x in TIMES:
        return _about_time(settings, top, x, y)
    far = best_at(settings, x)
    if far is top:
        return f"{top.label} is best on both: {_of(top, x)}, and {_of(top, y)}."
    on_x = f"{in_words(x)} {_number(top.value(x))} → {_number(far.value(x))}{_unit(far, x)}"
    return (
        f"From {top.label} to {far.label}: {on_x}, {in_words(y)} {_percent(far.scores[y].change_from(top.scores[y]))}."
    )


def _about_time(settings: Sequence[Setting], top: Setting, x: str, y: str) -> str:
    best = f"{top.label} is best ({_of(top, y)}) and takes {_number(top.value(x))} ms"
    near = [s for s in settings if s.scores[y].change_from(top.scores[y])[0] >= -NEAR]
    quick = min(near, key=lambda setting: setting.value(x))
    if quick is not top and quick.value(x) < 0.95 * top.value(x):
        saved = 1 - quick.value(x) / top.value(x)
        change = _percent(quick.scores[y].change_from(top.scores[y]))
        return f"{best}; {quick.label} is as good ({change}) in {_number(quick.value(x))} ms, {saved:.0%} less."
    worst = min(settings, key=lambda setting: setting.value(y))
    if worst is top or worst.value(x) >= top.value(x):
        slow = max(settings, key=lambda setting: setting.value(x))
        return f"{best}; {slow.label} takes {_number(slow.value(x))} ms."
    change = _percent(worst.scores[y].change_from(top.scores[y]))
    return f"{best}; {worst.label} takes {_number(worst.value(x))} ms and is worse ({change})."


def _of(setting: Setting, axis: str) -> str:
    low, high = setting.spread(axis)
    spread = "" if axis in TIMES else f" [{_number(low)} to {_number(high)}]"
    return f"{in_words(axis)} {_number(setting.value(axis))}{_unit(setting, axis)}{spread}"


def in_words(axis: str) -> str:
    """Turn `dwell_per_click_s` into "dwell per click". The sentence prints the unit after the number."""
    for unit in ("_s", "_h", "_ms", "_min"):
        axis = axis.removesuffix(unit)
    return axis.replace("_", " ")


def _unit(setting: Setting, axis: str) -> str:
    unit = "ms" if axis in TIMES else setting.scores[axis].unit
    return f" {unit}" if unit else ""


def _percent(change: tuple[float, float, float]) -> str:
    value, low, high = change
    return f"{value:+.1%} [{low:+.1%} to {high:+.1%}]"


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
