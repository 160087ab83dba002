"""Conclusive tries decide immediately, and tries disturbed by a busy machine are repeated."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import tries
from tests.support.tries import (
    Inconclusive,
    broken_by_speed_alone,
    conclusive,
    conclusive_run,
    drill_journal,
    skip_without_latency,
    stays_below,
)


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(tries.QUIET, "1")
    monkeypatch.setattr(tries, "_busy_s", lambda: 0.0)
    monkeypatch.setattr(tries, "_own_s", lambda: 0.0)


def make_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10**6, 100))
    monkeypatch.setattr(tries, "_busy_s", lambda: float(next(clock)))


def ended(*codes: int) -> Iterator[subprocess.CompletedProcess[str]]:
    return (subprocess.CompletedProcess([], code, "figures", "") for code in codes)


def test_first_conclusive_run_decides_even_if_it_fails(capsys: pytest.CaptureFixture[str]) -> None:
    runs = ended(5, 1, 0)
    assert conclusive_run(lambda: next(runs)).returncode == 1
    assert capsys.readouterr().out.count("figures") == 3, "two runs, and why the first did not count"


@pytest.mark.parametrize(("codes", "wanted", "found"), [((3, 0), 0, 0), ((3, 5, 3, 0), 0, 3), ((3, 0), 3, 3)])
def test_broken_budget_is_measured_again_unless_expected(codes: tuple[int, ...], wanted: int, found: int) -> None:
    runs = ended(*codes)
    assert conclusive_run(lambda: next(runs), wanted).returncode == found


def test_three_inconclusive_tries_fail_on_a_quiet_machine() -> None:
    runs = ended(5, 5, 5, 0)
    with pytest.raises(pytest.fail.Exception, match="no conclusive try"):
        conclusive_run(lambda: next(runs))
    assert next(runs).returncode == 0, "there was no fourth try"


def test_three_inconclusive_tries_skip_on_a_shared_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(tries.QUIET)
    runs = ended(5, 5, 5)
    with pytest.raises(pytest.skip.Exception, match="inconclusive"):
        conclusive_run(lambda: next(runs))


def test_only_a_latency_excuses_a_broken_drill(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = {"phase": "steady", "figure": "p99_ms", "value": 14.5, "judgement": "broken"}
    well = {"phase": "steady", "figure": "success_share", "value": 1.0, "judgement": "holds"}
    with pytest.raises(AssertionError):
        broken_by_speed_alone([slow, well])  # the environment declares a quiet machine
    monkeypatch.delenv(tries.QUIET)
    assert broken_by_speed_alone([slow, well]) == "steady: p99_ms 14.5"
    assert broken_by_speed_alone([well]) == ""
    shed = well | {"judgement": "broken"}
    assert broken_by_speed_alone([slow, shed]) == "steady: p99_ms 14.5", "a slow service sheds requests"
    with pytest.raises(AssertionError):
        broken_by_speed_alone([slow | {"judgement": "holds"}, shed])
    with pytest.raises(AssertionError):
        broken_by_speed_alone([slow, shed | {"figure": "recovery_s"}])


def drilled(latency: str, share: str) -> subprocess.CompletedProcess[str]:
    """A run of a drill with these judgements of its latency and of its share of responses."""
    judgements = (("p99_ms", latency), ("success_share", share))
    rows = [
        {"phase": "steady", "figure": name, "value": 0.9, "high": 1.0, "judgement": found} for name, found in judgements
    ]
    journal = {"probes": rows, "machine": "busy", "holds": {latency, share} == {"holds"}}
    code = 3 if "broken" in (latency, share) else 5 if "inconclusive" in (latency, share) else 0
    return subprocess.CompletedProcess([], code, json.dumps(journal), "")


def judgement_of(journal: dict[str, Any]) -> str:
    return str(journal["probes"][1]["judgement"])


@pytest.mark.parametrize("latency", ["broken", "inconclusive"])
def test_drill_with_a_missed_latency_runs_once_and_skips_on_a_shared_machine(
    latency: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = iter([drilled(latency, "holds"), drilled("holds", "holds")])
    journal = drill_journal(lambda: next(runs))
    with pytest.raises(pytest.fail.Exception, match="the latency"):
        skip_without_latency(journal)  # the environment declares a quiet machine
    monkeypatch.delenv(tries.QUIET)
    with pytest.raises(pytest.skip.Exception, match="the latency"):
        skip_without_latency(journal)
    assert json.loads(next(runs).stdout)["holds"], "there was no second run"


@pytest.mark.parametrize(
    ("shares", "last"), [(("broken", "inconclusive", "holds"), "holds"), (("broken", "broken", "broken"), "broken")]
)
def test_drill_that_misses_another_figure_is_repeated_and_its_last_run_decides(
    shares: tuple[str, ...], last: str
) -> None:
    runs = (drilled("holds", share) for share in shares)
    assert judgement_of(drill_journal(lambda: next(runs))) == last


def test_drill_with_another_missed_figure_fails_even_on_a_shared_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(tries.QUIET)
    runs = iter([drilled("inconclusive", "inconclusive")])
    with pytest.raises(pytest.skip.Exception, match="success_share"):
        drill_journal(lambda: next(runs), tries=1)
    with pytest.raises(AssertionError, match="success_share"):
        skip_without_latency(json.loads(drilled("broken", "broken").stdout))
    skip_without_latency(json.loads(drilled("holds", "holds").stdout))


def test_unrelated_error_is_raised_immediately() -> None:
    asked = []

    def attempt() -> None:
        asked.append(1)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        conclusive(attempt, "a division")
    assert len(asked) == 1


def test_value_above_its_limit_in_all_tries_fails_on_a_quiet_machine() -> None:
    values = iter([2.0, 2.0, 2.0, 0.5])
    with pytest.raises(AssertionError, match="limit 1"):
        stays_below(1.0, lambda: next(values), "seconds")


def test_value_above_its_limit_is_measured_again() -> None:
    values = iter([2.0, 2.0, 0.5])
    stays_below(1.0, lambda: next(values), "seconds")


def test_value_above_its_limit_in_all_tries_proves_nothing_on_a_busy_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    make_busy(monkeypatch)
    with pytest.raises(pytest.fail.Exception, match="no conclusive try"):
        stays_below(1.0, lambda: 2.0, "seconds")


def test_inconclusive_result_includes_the_reason() -> None:
    with pytest.raises(pytest.fail.Exception, match="too late"):
        conclusive(raising, "a load")


def raising() -> None:
    raise Inconclusive("too late")
