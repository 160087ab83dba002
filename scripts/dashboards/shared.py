"""Rows that the dashboards of all designs have: requests, the process, and the age of a feature row."""

from __future__ import annotations

from infra.design import Design
from scripts.dashboards.panels import QUARTER, Panel, Queries, graph, number

FEATURE_TTL_S = 48 * 3600.0


def requests_row(design: Design, stages: str = "Mean time of each stage of a request, stacked.") -> tuple[Panel, ...]:
    """Outcomes, latency with the budget, time per stage, and reasons of degraded answers."""
    name = design.name
    budget_s = next(budget.limit for budget in design.budgets if budget.name == "p99_ms") / 1000
    return (
        graph(
            "Answers",
            "Requests by outcome. requests = ok + degraded + shed + failed + rejected.",
            {"{{outcome}}": f'sum by (outcome) (rate(lab_responses_total{{design="{name}"}}[1m]))'},
            unit="reqps",
            stacked=True,
        ),
        graph(
            "Latency",
            "The red line is the budget for p99.",
            {
                "p99, 5 min": f'design:lab_request_seconds:p99_5m{{design="{name}"}}',
                **quantiles("lab_request_seconds", name, "1m"),
            },
            unit="s",
            limit=budget_s,
        ),
        graph(
            "Time per stage",
            stages,
            {
                "{{stage}}": f'sum by (stage) (rate(lab_stage_seconds_sum{{design="{name}"}}[1m])) '
                f'/ sum by (stage) (rate(lab_stage_seconds_count{{design="{name}"}}[1m]) > 0)'
            },
            unit="s",
            stacked=True,
        ),
        graph(
            "Degraded answers by reason",
            "Degraded answers per second, by the reason that the answer reports.",
            {"{{reason}}": f'sum by (reason) (rate(lab_degraded_total{{design="{name}"}}[1m]))'},
            unit="reqps",
            stacked=True,
        ),
    )


def process_row(name: str, *more: Panel, span: int = QUARTER) -> tuple[Panel, ...]:
    """Breakers, panels of the design, memory, and the model."""
    return (
        graph(
            "Breaker",
            "0 closed, 1 half open, 2 open.",
            {"{{dependency}}": f'max by (dependency) (lab_breaker_state{{design="{name}"}})'},
            span=span,
        ),
        *more,
        graph(
            "Memory",
            "Resident memory of the service and of the worker.",
            {"{{instance}}": f'process_resident_memory_bytes{{design="{name}"}}'},
            unit="bytes",
            span=span,
        ),
        number(
            "Model",
            "Model version in service, and the time since its release.",
            {"{{name}} version {{version}}": age_of_model(f'{{design="{name}"}}')},
            unit="s",
            span=span,
        ),
    )


def age_of_model(of: str = "") -> str:
    """The age of the model of each service, with its name and version.

    If a service changed its model while Prometheus was down, Prometheus knows two models of it for five minutes, and a
    join with both fails. The newest sample is that of the served one.
    """
    served = f"(topk by (instance) (1, timestamp(lab_model_info{of})) > bool 0)"
    return f"(time() - lab_model_released_timestamp_seconds{of}) * on (instance) group_left (name, version) {served}"


def candidates(title: str, description: str, name: str) -> Panel:
    """Candidates that each stage passes on, per request."""
    out = f'sum by (stage) (rate(lab_candidates_total{{design="{name}",direction="out"}}[1m]))'
    requests = f'sum(rate(lab_requests_total{{design="{name}"}}[1m]) > 0)'
    return graph(title, description, {"{{stage}}": f"{out} / ignoring(stage) group_left {requests}"})


def feature_age(title: str, description: str, name: str, more: Queries | None = None) -> Panel:
    queries = {**quantiles("lab_feature_age_seconds", name, "5m"), **(more or {})}
    return graph(title, description, queries, unit="s", limit=FEATURE_TTL_S)


def quantiles(metric: str, name: str, window: str) -> dict[str, str]:
    """Median and 99th percentile of a histogram of one design."""
    buckets = f'sum by (le) (rate({metric}_bucket{{design="{name}"}}[{window}]))'
    return {f"p{share * 100:.0f}": f"histogram_quantile({share:g}, {buckets})" for share in (0.5, 0.99)}


def share(
    part: str, whole: str, name: str, window: str, by: str = "", part_where: str = "", whole_where: str = ""
) -> str:
    """The rate of one counter divided by that of another, of one design."""
    grouped = f" by ({by})" if by else ""

    def rate(counter: str, where: str) -> str:
        return f'sum{grouped}{" " if by else ""}(rate({counter}{{design="{name}"{where}}}[{window}]))'

    return f"{rate(part, part_where)} / {rate(whole, whole_where)}"
