"""Alert rules and dashboards use exported metrics and the budgets of the designs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry

from ctr_prediction.online.cache import CacheMetrics
from ctr_prediction.worker.metrics import OnlineMetrics as CtrOnlineMetrics
from eta_prediction.config import SMALL
from eta_prediction.online.traffic_metrics import TrafficMetrics
from eta_prediction.worker.metrics import OnlineMetrics as EtaOnlineMetrics
from feed_ranking.worker.metrics import OnlineMetrics as FeedOnlineMetrics
from infra.design import Design, resolve
from infra.faults.metrics import FaultMetrics
from infra.faults.switch import FaultSwitch
from infra.feature_store.watch import StoreWatch
from infra.settings import REPOSITORY, Settings
from infra.stream.metrics import StreamMetrics
from infra.telemetry.alerts.budget_rules import BURNS
from infra.telemetry.alerts.expressions import Clock
from infra.telemetry.alerts.rules import alert_rules, rule_groups
from infra.telemetry.metrics import ServiceMetrics, latency_buckets
from lab.designs import load_designs
from lab.services.monitor.run import create_monitor
from scripts.alert_rules import files
from scripts.dashboards.__main__ import files as dashboard_files
from scripts.dashboards.shared import age_of_model

PROMETHEUS = REPOSITORY / "infra" / "deploy" / "prometheus"
GRAFANA = REPOSITORY / "infra" / "deploy" / "grafana"
RULE_TESTS = ("rules_test.yml", "rules_days_test.yml", "rules_budgets_test.yml")
OWN_METRIC = re.compile(r"\b(?:lab|process)_[a-z_]+\b")
DESIGNS = load_designs()
OWN_METRICS: Mapping[str, tuple[Callable[[CollectorRegistry], object], ...]] = {
    "feed_ranking": (FeedOnlineMetrics,),
    "ctr_prediction": (CtrOnlineMetrics, CacheMetrics),
    "eta_prediction": (EtaOnlineMetrics, lambda registry: registry.register(TrafficMetrics(lambda: None))),
}
"""Design -> what registers the metrics of its own worker and service."""


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((PROMETHEUS / "rules.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboards() -> dict[str, dict[str, Any]]:
    """Return name -> dashboard. The dashboard of a design has its name."""
    return {path.stem: json.loads(path.read_text()) for path in sorted((GRAFANA / "dashboards").glob("*.json"))}


def panels(name: str) -> list[dict[str, Any]]:
    return [panel for panel in dashboards()[name]["panels"] if panel["type"] != "row"]


def queries(name: str) -> list[str]:
    return [target["expr"] for panel in panels(name) for target in panel["targets"]]


def marks(name: str) -> list[str]:
    """Return the queries of a dashboard's annotations. They have data only when something happens."""
    return [mark["expr"] for mark in dashboards()[name]["annotations"]["list"]]


def all_queries() -> list[str]:
    """Return the queries of all rules and dashboards."""
    drawn = [text for name in dashboards() for text in (*queries(name), *marks(name))]
    return [*(rule["expr"] for rule in rules()), *drawn]


def designs_of(text: str) -> list[Design]:
    """Return the designs that a query selects: all, if it names none."""
    named = set(re.findall(r'design="(\w+)"', text))
    return [design for design in DESIGNS if design.name in named or not named]


def threshold(rule: dict[str, Any]) -> float:
    """Return the limit of an alert whose expression ends with it."""
    return float(rule["expr"].rpartition(">")[2])


@cache
def of_the_monitor() -> str:
    """Return the metrics of a monitor without builds."""
    with (
        TemporaryDirectory() as home,
        TestClient(create_monitor(Settings(home=Path(home)), watch=False), base_url="http://127.0.0.1") as client,
    ):
        return str(client.get("/metrics").text)


def exported(design: Design) -> set[str]:
    """Return the names of the metrics that the service, the worker and the monitor export."""
    metrics = ServiceMetrics(design)
    StreamMetrics(metrics.registry, tuple(resolve(design.topics)()))
    for register in OWN_METRICS[design.name]:
        register(metrics.registry)
    metrics.registry.register(FaultMetrics(FaultSwitch()))
    metrics.registry.register(StoreWatch())
    text = metrics.expose().decode() + of_the_monitor()
    families = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
    return families | {f"{name}{end}" for name in families for end in ("_bucket", "_sum", "_count")}


def rule_checks() -> list[dict[str, Any]]:
    """Return the checks of all files of rule tests."""
    tests = [test for name in RULE_TESTS for test in yaml.safe_load((PROMETHEUS / name).read_text())["tests"]]
    return [check for test in tests for check in test.get("alert_rule_test", ())]


def test_panel_of_models_is_tested_with_a_model_that_changed() -> None:
    assert f"expr: {age_of_model()}\n" in (PROMETHEUS / "rules_test.yml").read_text()
    assert age_of_model() in queries("builds")


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_generated_file_equals_the_budgets_of_the_designs(path: Path) -> None:
    """If this fails after a change of a budget or of a rule, run `make rules`."""
    assert path.read_text() == files()[path]


def test_no_two_rules_have_equal_names_and_labels() -> None:
    """Prometheus would merge their series, and `promtool check config` reports them."""
    names = [(rule.get("alert", rule.get("record")), sorted(rule.get("labels", {}).items())) for rule in rules()]
    assert len(names) == len({json.dumps(name) for name in names})


def test_rule_tests_expect_the_annotations_of_the_rules() -> None:
    """promtool checks the whole text, but it runs in the composed setting only."""
    checks = rule_checks()
    expected = {alert["exp_annotations"]["action"] for check in checks for alert in check["exp_alerts"]}
    actions = {rule["annotations"]["action"] for rule in rules() if "alert" in rule}
    assert len(expected) > 5
    assert expected <= actions


def test_every_alert_has_a_case_that_fires_and_one_that_does_not() -> None:
    checks = rule_checks()
    fires = {check["alertname"] for check in checks if check["exp_alerts"]}
    stays = {check["alertname"] for check in checks if not check["exp_alerts"]}
    assert fires == stays == {rule["alert"] for rule in rules() if "alert" in rule}


def test_dashboards_are_those_of_their_modules() -> None:
    assert {path: path.read_text() for path in dashboard_files()} == dashboard_files()
    assert {path.stem for path in dashboard_files()} == dashboards().keys()
    assert dashboards().keys() > {design.name for design in DESIGNS}


@pytest.mark.parametrize("text", all_queries())
def test_queried_metrics_are_exported(text: str) -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    for name in recorded:
        text = text.replace(name, "")
    asked = set(OWN_METRIC.findall(text))
    for design in designs_of(text):
        assert asked <= exported(design), design


def test_queried_recorded_series_exist() -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    for text in all_queries():
        assert set(re.findall(r"\b[a-z]+:[a-z_:0-9]+", text)) <= recorded


@pytest.mark.parametrize("design", DESIGNS, ids=str)
def test_alerts_have_the_budgets_of_their_design_and_an_exact_latency_share(design: Design) -> None:
    """The share of requests in time is exact only if the budget is an edge of the histogram."""
    limits = {item.name: item.limit for item in design.budgets}
    texts = {
        (rule.name, rule.labels.get("burn", "")): rule.condition.text(Clock())
        for rule in alert_rules(rule_groups([design]))
        if rule.labels.get("design") == design.name
    }
    for burn in BURNS:
        latency, availability = texts["LatencyBudgetBurn", burn.name], texts["AvailabilityBudgetBurn", burn.name]
        assert re.findall(r" < (\S+)", latency) == [f"{1 - burn.rate / 100:.10g}"] * 2
        assert re.findall(r" > (\S+)", availability) == [f"{burn.rate * (1 - limits['success_share']):.10g}"] * 2
    assert re.findall(r" > (\S+)", texts["DegradedShareTooHigh", ""]) == [f"{limits['degraded_share']:g}"] * 2
    assert limits["p99_ms"] / 1000 in latency_buckets(next(one.limit for one in design.budgets if one.unit == "ms"))


@pytest.mark.parametrize("design", DESIGNS, ids=str)
def test_dashboard_queries_only_its_design_and_draws_the_latency_budget(design: Design) -> None:
    asked = queries(design.name)
    assert {name for text in asked for name in re.findall(r'design="(\w+)"', text)} == {design.name}
    assert all("design=" in text for text in asked)
    budget = next(item.limit for item in design.budgets if item.name == "p99_ms") / 1000
    latency = next(panel for panel in panels(design.name) if panel["title"] == "Latency")
    assert latency["fieldConfig"]["defaults"]["thresholds"]["steps"][-1]["value"] == budget


def test_traffic_alert_fires_before_quotes_degrade_and_the_dashboard_draws_their_limits() -> None:
    (alert,) = [rule for rule in rules() if rule.get("alert") == "TrafficFeedOld"]
    assert threshold(alert) == 4 * SMALL.features.speeds_every_s < SMALL.route.speeds_ttl_s
    lines = {
        panel["title"]: panel["fieldConfig"]["defaults"]["thresholds"]["steps"][-1]["value"]
        for panel in panels("eta_prediction")
        if "thresholds" in panel["fieldConfig"]["defaults"]
    }
    assert lines["Age of the traffic"] == SMALL.route.speeds_ttl_s
    assert lines["Traversals behind the traffic"] == SMALL.route.fewest_probes
    assert lines["Age of the driver's row"] == SMALL.features.ttl_h * 3600


@pytest.mark.parametrize("design", DESIGNS, ids=str)
def test_prometheus_scrapes_every_design_on_its_ports(design: Design) -> None:
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    targets = []
    for job in config["scrape_configs"]:
        of = next((one["replacement"] for one in job.get("relabel_configs", ())), "")
        addresses = [address for found in job.get("static_configs", ()) for address in found["targets"]]
        addresses += [f"{name}:{found['port']}" for found in job.get("dns_sd_configs", ()) for name in found["names"]]
        targets += [(of, address) for address in addresses]
    ports = (design.port, design.port + 1) if design.worker else (design.port,)
    for port in ports:
        assert any(name == design.name and address.endswith(f":{port}") for name, address in targets)


def test_every_alert_has_a_summary_and_an_action() -> None:
    for rule in rules():
        if "alert" in rule:
            assert rule["annotations"]["summary"]
            assert rule["annotations"]["action"]


@pytest.mark.parametrize("name", dashboards())
def test_panels_have_a_description_and_do_not_overlap(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels(name):
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert panel["description"]
        assert panel["targets"]
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
