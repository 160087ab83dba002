"""States the finding of a sweep in one sentence, generated from the measured numbers alone."""

from __future__ import annotations

from collections.abc import Sequence

from lab.sweeps.run import TIMES, Setting

NEAR = 0.01
"""settings are as good as the best one if their score is worse by at most this share"""


def best_at(settings: Sequence[Setting], axis: str) -> Setting:
    """Return the best setting on this axis; the first one among equals."""
    return max(settings, key=lambda setting: merit(setting, axis))


def merit(setting: Setting, axis: str) -> float:
    """The value on this axis in an order in which more is better. Less time is better."""
    return -setting.value(axis) if axis in TIMES else setting.scores[axis].merit


def front(settings: Sequence[Setting], x: str, y: str) -> list[Setting]:
    """Return the Pareto front, sorted from the best to the worst `x`.

    A setting is on the front if no other setting is better on one axis and at least as good on the other.
    """
    ahead: list[Setting] = []
    for setting in sorted(settings, key=lambda s: (-merit(s, x), -merit(s, y))):
        if not ahead or merit(setting, y) > merit(ahead[-1], y):
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
    return f"From {top.label} to {far.label}: {_values(top, far, x)}, {in_words(y)} {_change(top, far, y)}."


def _about_time(settings: Sequence[Setting], top: Setting, x: str, y: str) -> str:
    best = f"{top.label} is best ({_of(top, y)}) and takes {_number(top.value(x))} ms"
    near = [setting for setting in settings if _is_near(setting, top, y)]
    quick = min(near, key=lambda setting: setting.value(x))
    if quick is not top and quick.value(x) < 0.95 * top.value(x):
        saved = 1 - quick.value(x) / top.value(x)
        change = _change(top, quick, y)
        return f"{best}; {quick.label} is as good ({change}) in {_number(quick.value(x))} ms, {saved:.0%} less."
    worst = min(settings, key=lambda setting: merit(setting, y))
    if worst is top or worst.value(x) >= top.value(x):
        slow = max(settings, key=lambda setting: setting.value(x))
        return f"{best}; {slow.label} takes {_number(slow.value(x))} ms."
    change = _change(top, worst, y)
    return f"{best}; {worst.label} takes {_number(worst.value(x))} ms and is worse ({change})."


def _is_near(setting: Setting, top: Setting, axis: str) -> bool:
    """True if the score is worse than that of `top` by at most `NEAR` of it, or of the target if there is one."""
    best, target = top.scores[axis], top.scores[axis].target
    scale = abs(best.value) if target is None else abs(target) or 1.0
    if best.unit == "%":
        scale = 100.0
    return best.merit - setting.scores[axis].merit <= NEAR * scale


def _values(top: Setting, other: Setting, axis: str) -> str:
    return f"{in_words(axis)} {_number(top.value(axis))} → {_number(other.value(axis))}{_unit(other, axis)}"


def _change(top: Setting, other: Setting, axis: str) -> str:
    """The relative change from `top`. With a target, both values: a share of a bias of nearly 0 says nothing."""
    mine, best = other.scores[axis], top.scores[axis]
    if best.target is not None:
        return f"{_number(best.value)} → {_number(mine.value)}{_unit(other, axis)}"
    return _percent(mine.change_from(best))


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
