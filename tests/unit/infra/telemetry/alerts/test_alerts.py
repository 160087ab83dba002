"""Alerts wait, fire, inhibit each other, and end; the book keeps them across a restart and is bounded."""

from __future__ import annotations

import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from infra.settings import REPOSITORY
from infra.telemetry.alerts.alert import INHIBITIONS, Alert, delivered
from infra.telemetry.alerts.book import KEPT, AlertBook, read_alerts
from infra.telemetry.alerts.evaluation import RuleEvaluation
from infra.telemetry.alerts.expressions import Clock, Latest
from infra.telemetry.alerts.rule import AlertRule
from infra.telemetry.alerts.rules import alert_rules, rule_groups
from infra.telemetry.alerts.samples import Selection
from infra.telemetry.alerts.webhook import Notification, take
from infra.telemetry.alerts.wording import fill, humanize_duration
from lab.designs import load_designs

LAG = AlertRule(
    "Lag", Latest(Selection("lab_lag")).above(10), "ticket", "{{ $labels.design }}: {{ $value }}", "look", 60.0
)


def alert(name: str, **labels: str) -> Alert:
    return Alert({"alertname": name, **labels}, "", "", 100.0)


def names(alerts: list[Alert]) -> list[str]:
    return [one.name for one in alerts]


def evaluated(evaluation: RuleEvaluation, now: float, lag: float) -> list[Alert]:
    evaluation.samples.add({"design": "feed"}, f"lab_lag {lag}", now)
    return evaluation.evaluate()


def test_alert_fires_after_its_waiting_time_and_ends_at_once() -> None:
    evaluation = RuleEvaluation([LAG], Clock())
    assert evaluated(evaluation, 0, 20) == []
    assert evaluated(evaluation, 59, 20) == []
    (found,) = evaluated(evaluation, 60, 30)
    assert found.labels == {"alertname": "Lag", "design": "feed", "severity": "ticket"}
    assert (found.summary, found.action, found.starts_ts) == ("feed: 30", "look", 60)
    assert evaluated(evaluation, 90, 40)[0].starts_ts == 60
    assert evaluated(evaluation, 120, 5) == []
    assert evaluated(evaluation, 150, 20) == [], "the waiting time begins again"


def test_alert_that_explains_others_goes_on_after_its_condition() -> None:
    evaluation = RuleEvaluation([replace(LAG, for_s=0.0, keep_s=30.0)], Clock())
    assert names(evaluated(evaluation, 0, 20)) == ["Lag"]
    (kept,) = evaluated(evaluation, 29, 5)
    assert (kept.starts_ts, kept.summary) == (0, "feed: 20")
    assert evaluated(evaluation, 30, 5) == []


def test_fast_clock_shortens_the_waiting_time() -> None:
    evaluation = RuleEvaluation([LAG], Clock(30))
    assert evaluated(evaluation, 0, 20) == []
    assert names(evaluated(evaluation, 2, 20)) == ["Lag"]


def test_breach_of_a_budget_fires_by_burn_rate_and_ends_with_the_short_window() -> None:
    """Half of ten requests a second are shed for ten minutes, then none."""
    evaluation = RuleEvaluation(alert_rules(rule_groups(load_designs()[:1])), Clock())
    fired, bad, total = [], 0, 0
    for second in range(0, 1800, 5):
        total, bad = total + 50, bad + (25 if 300 <= second < 900 else 0)
        text = f'lab_responses_total{{outcome="ok"}} {total - bad}\nlab_responses_total{{outcome="shed"}} {bad}\n'
        text += f'lab_request_seconds_count {total}\nlab_request_seconds_bucket{{le="0.2"}} {total}\n'
        evaluation.samples.add({"design": "feed_ranking", "instance": "feed"}, text, 1e6 + second)
        burns = {one.labels["burn"] for one in evaluation.evaluate() if one.name == "AvailabilityBudgetBurn"}
        fired.append((second, burns))
    began = next(second for second, burns in fired if "fast" in burns)
    ended = next(second for second, burns in fired if second > began and "fast" not in burns)
    assert 300 <= began <= 320, "1.44% of the requests of five minutes are shed within seconds"
    assert 900 + 280 <= ended <= 900 + 305
    assert "steady" in fired[-1][1], "the long windows still see the breach"


def test_feature_store_that_is_down_is_one_alert_for_all_designs() -> None:
    consequences = [alert("BreakerOpen", design=design) for design in ("feed", "ads")]
    consequences += [alert("DegradedShareTooHigh", design="feed"), alert("TargetDown", design="ads")]
    assert names(delivered([alert("FeatureStoreDown"), *consequences])) == ["FeatureStoreDown", "TargetDown"]
    assert delivered(consequences) == consequences


def test_fast_burn_inhibits_the_slow_ones_of_its_design_only() -> None:
    fast, slow = (alert("LatencyBudgetBurn", design="feed", burn=burn) for burn in ("fast", "slow"))
    other = alert("LatencyBudgetBurn", design="ads", burn="slow")
    assert delivered([slow, fast, other]) == [fast, other]


def test_alertmanager_has_the_inhibitions_of_the_embedded_setting() -> None:
    path = REPOSITORY / "infra" / "deploy" / "alertmanager" / "alertmanager.yml"
    found = yaml.safe_load(path.read_text())["inhibit_rules"]
    expected = [
        {
            "source_matchers": [f'{name}="{value}"' for name, value in rule.source.items()],
            "target_matchers": [f'{name}=~"{"|".join(values)}"' for name, values in rule.target.items()],
            **({"equal": list(rule.equal)} if rule.equal else {}),
        }
        for rule in INHIBITIONS
    ]
    assert found == expected
    named = {value for rule in INHIBITIONS for key, value in rule.source.items() if key == "alertname"}
    named |= {name for rule in INHIBITIONS for name in rule.target.get("alertname", ())}
    assert named <= {rule.name for rule in alert_rules(rule_groups(load_designs()))}


def test_book_keeps_alerts_across_a_restart(tmp_path: Path) -> None:
    clock = [1000.0]
    book = AlertBook(tmp_path / "alerts.json", lambda: clock[0])
    book.fire(alert("Lag", design="feed"))
    clock[0] = 1010.0
    book.fire(alert("Lag", design="feed"))
    book.save()
    again = AlertBook(tmp_path / "alerts.json", lambda: clock[0])
    (kept,) = again.listed().active
    assert (kept.starts_ts, kept.seen_ts) == (100.0, 1000.0), "a repeated notification changes no time"
    again.replace([])
    again.save()
    found = read_alerts(tmp_path / "alerts.json")
    assert found.active == ()
    assert [one.ends_ts for one in found.recent] == [1010.0]
    assert found.is_current(1030.0)
    assert not found.is_current(1100.0)


def test_book_is_bounded_and_survives_a_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "alerts.json"
    path.write_text('{"active": [{"labels"')
    book = AlertBook(path)
    for number in range(KEPT + 50):
        one = alert("Lag", number=str(number))
        book.fire(one)
        book.end(one.key, float(number))
    assert len(book.listed().recent) == KEPT
    assert book.listed().recent[0].labels["number"] == str(KEPT + 49)


def test_reader_of_the_book_never_misses_an_alert_that_goes_on(tmp_path: Path) -> None:
    book, stop = AlertBook(tmp_path / "alerts.json"), threading.Event()
    going_on = [alert("Lag", design="feed"), alert("TargetDown", design="feed")]
    book.replace(going_on)

    def go_on() -> None:
        while not stop.is_set():
            book.replace(going_on)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    writer = threading.Thread(target=go_on)
    writer.start()
    try:
        seen = {len(book.listed().active) for _ in range(3000)}
    finally:
        stop.set()
        writer.join()
        sys.setswitchinterval(interval)
    assert seen == {2}
    assert book.listed().recent == ()


def notification(**changed: Any) -> dict[str, Any]:
    one = {
        "status": "firing",
        "labels": {"alertname": "Lag", "severity": "ticket"},
        "annotations": {"summary": "it lags", "action": "look"},
        "startsAt": "2026-01-01T00:00:00.5Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "fingerprint": "f00",
    }
    return {"version": "4", "status": "firing", "receiver": "monitor", "alerts": [one | changed]}


def test_notification_fires_and_ends_an_alert(tmp_path: Path) -> None:
    book = AlertBook(tmp_path / "alerts.json")
    take(Notification.model_validate(notification()), book)
    (fired,) = book.listed().active
    assert (fired.summary, fired.action, fired.starts_ts) == ("it lags", "look", 1767225600.5)
    take(Notification.model_validate(notification(status="resolved", endsAt="2026-01-01T00:01:00Z")), book)
    assert book.listed().active == ()
    assert book.listed().recent[0].ends_ts == 1767225660.0


@pytest.mark.parametrize(
    "changed",
    [
        {"status": "sleeping"},
        {"labels": {}},
        {"labels": {"x" * 300: "y"}},
        {"startsAt": "yesterday"},
        {"startsAt": "2026-01-01T00:00:00"},
        {"annotations": {"summary": "x" * 3000}},
    ],
)
def test_invalid_notification_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Notification.model_validate(notification(**changed))


def test_texts_are_filled_as_prometheus_fills_them() -> None:
    template = "{{ $labels.design }}: {{ $value | humanizePercentage }} of {{ $labels.missing }}, {{ $value }}"
    assert fill(template, {"design": "feed"}, 0.0512) == "feed: 5.12% of , 0.0512"
    assert [humanize_duration(seconds) for seconds in (0.29, 59, 210, 1_303_200)] == [
        "290ms",
        "59s",
        "3m 30s",
        "15d 2h 0m 0s",
    ]


def test_every_placeholder_of_a_rule_is_understood() -> None:
    for rule in alert_rules(rule_groups(load_designs())):
        labels = {"design": "d", "instance": "i", "job": "j", "topic": "t", "group": "g", "reason": "r"}
        filled = fill(rule.summary + rule.action, labels | {"dependency": "p", "ride_type": "q"}, 0.5)
        assert "{" not in filled
