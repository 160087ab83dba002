"""Service metrics have buckets at the budget, export every series from the start, and belong to one service."""

from __future__ import annotations

import math
import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from infra.design import Budget
from infra.pipeline.trace import QueryStageTrace, StageTrace, Trace
from infra.telemetry.metrics import OUTCOMES, ServiceMetrics, latency_buckets
from infra.telemetry.stage_tally import StageTally
from tests.support.tiny import tiny_design


@pytest.fixture
def metrics() -> ServiceMetrics:
    return ServiceMetrics(tiny_design())


@given(budget_ms=st.integers(1, 100_000))
@settings(deadline=None, max_examples=50)
def test_latency_buckets_ascend_and_include_the_budget(budget_ms: int) -> None:
    edges = latency_buckets(budget_ms)
    assert budget_ms / 1000 in edges
    assert all(a < b for a, b in pairwise(edges))
    assert edges[0] > 0


def test_request_latency_has_the_budget_of_the_design_as_bucket_edge(metrics: ServiceMetrics) -> None:
    assert 'lab_request_seconds_bucket{le="0.04"} 0.0' in metrics.expose().decode()


def test_latency_buckets_use_the_first_budget_in_milliseconds() -> None:
    budgets = (Budget("share", 0.999, "", "at_least", ""), Budget("p99_ms", 7, "ms", "at_most", ""))
    assert 'le="0.007"' in ServiceMetrics(tiny_design(budgets=budgets)).expose().decode()


def test_every_outcome_is_exported_at_zero_from_the_start(metrics: ServiceMetrics) -> None:
    text = metrics.expose().decode()
    for outcome in OUTCOMES:
        assert f'lab_responses_total{{outcome="{outcome}"}} 0.0' in text
    assert "lab_requests_total 0.0" in text


def test_two_services_in_one_process_do_not_share_counters(metrics: ServiceMetrics) -> None:
    other = ServiceMetrics(tiny_design())
    metrics.requests.inc()
    assert "lab_requests_total 1.0" in metrics.expose().decode()
    assert "lab_requests_total 0.0" in other.expose().decode()


def test_counters_and_only_counters_end_in_total(metrics: ServiceMetrics) -> None:
    metrics.observe(Trace([StageTrace("rank", "net", 1.0, 5, 5)]))
    kinds = dict(re.findall(r"^# TYPE (lab_\w+) (\w+)$", metrics.expose().decode(), re.M))
    assert len(kinds) >= 9
    for name, kind in kinds.items():
        assert name.endswith("_total") == (kind == "counter"), name
    assert not re.search("^lab_.*_created", metrics.expose().decode(), re.M)


def test_trace_is_recorded_by_stage(metrics: ServiceMetrics) -> None:
    stages = [
        QueryStageTrace("query", "profile", 2.0, degraded="features_stale"),
        StageTrace("retrieve", "followed", 1.0, 0, 30),
        StageTrace("retrieve", "popular", 3.0, 0, 20, degraded="features_stale"),
        StageTrace("filter", "seen", 1.0, 50, 45),
    ]
    metrics.observe(Trace(stages))
    value = metrics.registry.get_sample_value
    assert value("lab_stage_seconds_count", {"stage": "retrieve"}) == 1
    assert value("lab_stage_seconds_sum", {"stage": "retrieve"}) == pytest.approx(0.004)
    assert value("lab_candidates_total", {"stage": "seen", "direction": "in"}) == 50
    assert value("lab_candidates_total", {"stage": "seen", "direction": "out"}) == 45
    assert value("lab_candidates_total", {"stage": "profile", "direction": "in"}) is None
    assert value("lab_degraded_total", {"reason": "features_stale"}) == 1


def test_model_info_names_only_the_served_model(metrics: ServiceMetrics) -> None:
    metrics.serving("tiny", 1, 1700000000.0)
    metrics.serving("tiny", 2, 1700000000.0)
    value = metrics.registry.get_sample_value
    assert value("lab_model_info", {"name": "tiny", "version": "2"}) == 1
    assert value("lab_model_info", {"name": "tiny", "version": "1"}) is None


def test_exposition_includes_the_infinity_bucket(metrics: ServiceMetrics) -> None:
    metrics.latency.observe(math.inf)
    assert 'lab_request_seconds_bucket{le="+Inf"} 1.0' in metrics.expose().decode()


def test_metrics_expose_the_age_of_model_and_features(metrics: ServiceMetrics) -> None:
    metrics.serving("tiny-smoke", 3, 1700000000.0)
    metrics.feature_age.observe(7200.0)
    text = metrics.expose().decode()
    assert "lab_model_released_timestamp_seconds 1.7e+09" in text
    assert 'lab_feature_age_seconds_bucket{le="3600.0"} 0.0' in text
    assert 'lab_feature_age_seconds_bucket{le="7200.0"} 1.0' in text


@given(st.lists(st.tuples(st.sampled_from(["retrieve", "rank"]), st.sampled_from([0.0, 0.5, 1.0, 2.0, 7.5, 1e6]))))
def test_stage_tally_matches_the_prometheus_histogram(seen: list[tuple[str, float]]) -> None:
    edges, ours, theirs = [0.0005, 0.001, 0.002], CollectorRegistry(), CollectorRegistry()
    tally = StageTally(edges, ours)
    histogram = Histogram("lab_stage_seconds", "time of one stage", ["stage"], buckets=edges, registry=theirs)
    for stage, ms in seen:
        tally.observe(Trace([StageTrace(stage, "net", ms, 5, 4)]))
        histogram.labels(stage).observe(ms / 1000)
    tallied = [line for line in generate_latest(ours).decode().splitlines() if line.startswith("lab_stage")]
    expected = [line for line in generate_latest(theirs).decode().splitlines() if line.startswith("lab_stage")]
    assert sorted(tallied) == sorted(expected)
