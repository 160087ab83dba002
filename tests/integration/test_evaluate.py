"""`lab evaluate` prints the figures of the gate, of the holdout and of the oracle, for every design."""

from __future__ import annotations

import json
from functools import partial

import pytest
from typer.testing import CliRunner

from infra.design import resolve
from infra.errors import BudgetBroken
from infra.settings import Settings
from lab.cli import app
from lab.designs import find_design

CASES = {"feed_ranking": {"cases": 40}, "ctr_prediction": {"cases": 40, "users": 8}}
"""fewer than the command's own, which take half a minute"""
EXPECTED = {
    "feed_ranking": {"auc", "excess_log_loss", "captured_value"},
    "ctr_prediction": {"log_loss_gap_closed", "knowable_gap_closed", "captured_value_student"},
}


@pytest.mark.parametrize("name", list(CASES))
def test_evaluate_prints_rows_with_the_agreed_keys(
    name: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, _, function = find_design(name).quality.partition(":")
    monkeypatch.setattr(f"{module}.{function}", partial(resolve(find_design(name).quality), **CASES[name]))
    monkeypatch.setenv("LAB_HOME", str(settings.home))
    done = CliRunner().invoke(app, ["evaluate", name, "--preset", "smoke", "--json"])
    rows = {row["id"]: row for row in json.loads(done.stdout)}
    assert rows.keys() >= EXPECTED[name]
    missed = [name for name, row in rows.items() if row["met"] is False]
    assert isinstance(done.exception, BudgetBroken) == bool(missed), done.exception
    for row in rows.values():
        assert list(row) == ["id", "description", "value", "low", "high", "unit", "must", "aim", "met"]
        assert row["low"] <= row["value"] <= row["high"], row
