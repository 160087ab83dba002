"""The first dashboard: is each design within its budgets, and which alerts fire."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from scripts.dashboards.panels import THIRD, WIDE, dashboard, graph, number


def build() -> Dashboard:
    budgets = (
        graph(
            "Answers",
            "Requests per second of each design.",
            {"{{design}}": "sum by (design) (rate(lab_responses_total[1m]))"},
            unit="reqps",
            span=THIRD,
        ),
        graph(
            "Within the latency budget",
            "Share of the requests of the last 5 minutes that were answered within the budget of their design.",
            {"{{design}}": "design:lab_request_seconds:in_time_share_5m"},
            unit="percentunit",
            span=THIRD,
        ),
        graph(
            "Degraded or failed",
            "Shares of the answers of the last 5 minutes that were degraded, and that failed or were shed.",
            {
                "{{design}} degraded": "design:lab_responses:degraded_share_5m",
                "{{design}} failed or shed": "design:lab_responses:failed_share_5m",
            },
            unit="percentunit",
            span=THIRD,
        ),
    )
    state = (
        number("Alerts", "Alerts that fire now, by severity.", {"{{severity}}": "lab_alerts_active"}, span=THIRD),
        number(
            "Processes", "Processes that answer Prometheus, of all.", {"up": "sum(up)", "all": "count(up)"}, span=THIRD
        ),
        number(
            "Feature store",
            "1 if the feature store answers the probe of the service.",
            {"{{design}}": "min by (design) (lab_feature_store_up)"},
            span=THIRD,
        ),
        graph(
            "Memory",
            "Resident memory by process.",
            {"{{job}} {{instance}}": "process_resident_memory_bytes"},
            unit="bytes",
            span=WIDE,
            stacked=True,
        ),
        graph(
            "Injected faults",
            "1 while a fault is injected (`lab fault`, `lab drill`).",
            {"{{design}} {{port}} {{fault}}": "max by (design, port, fault) (lab_fault_active)"},
            span=WIDE,
        ),
    )
    return dashboard("overview", "Overview", {"Budgets": budgets, "State": state})
