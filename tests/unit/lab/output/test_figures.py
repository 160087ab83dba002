"""A figure is printed as a table row with its spread and the verdict on its bounds."""

from __future__ import annotations

import pytest

from infra.evaluation.figures import Figure
from lab.output.figures import markdown, verdict


@pytest.mark.parametrize(
    ("value", "must", "aim", "expected"),
    [
        (0.7, None, None, ""),
        (0.7, ">= 0.6", ">= 0.8", "must reached"),
        (0.9, ">= 0.6", ">= 0.8", "aim reached"),
        (0.5, ">= 0.6", ">= 0.8", "not reached"),
        (0.5, "<= 0.6", None, "must reached"),
        (0.7, None, ">= 0.8", "aim not reached"),
    ],
)
def test_verdict_names_the_strictest_bound_that_holds(
    value: float, must: str | None, aim: str | None, expected: str
) -> None:
    assert verdict(Figure("auc", "AUC", value, value, value, "", must, aim)) == expected


def test_markdown_has_one_row_per_figure() -> None:
    figures = [
        Figure("auc", "AUC of clicks", 0.75123, 0.74, 0.76, "", ">= 0.6"),
        Figure("p99", "latency", 3, 2, 4, "ms"),
    ]
    head, rule, auc, p99 = markdown(figures).splitlines()
    assert head.count("|") == rule.count("|") == auc.count("|") == p99.count("|")
    assert "| `auc` | AUC of clicks | 0.7512 | 0.74 – 0.76 | >= 0.6 |  | must reached |" in auc
    assert "3 ms" in p99
