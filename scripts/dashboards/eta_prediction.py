"""The dashboard of ride ETA."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from eta_prediction.config import SMALL
from eta_prediction.design import DESIGN
from scripts.dashboards.panels import QUARTER, Panel, dashboard, graph
from scripts.dashboards.shared import feature_age, process_row, requests_row, share

NAME = DESIGN.name
LAST_HALF_HOUR = (
    "Over the trips that arrived in the last 30 minutes. After a start, short trips arrive first, so the value is "
    "biased for half an hour."
)
JUDGED = "lab_online_judged_trips_total"
COVERED = "lab_online_covered_trips_total"
SLICE = "hours, weather"


def build() -> Dashboard:
    rows = {
        "Requests": requests_row(
            DESIGN, "Mean time of each stage of a request, stacked: driver, snap, route, forecast, predict, quote."
        ),
        "Traffic": traffic_row(),
        "Process": process_row(NAME, by_model()),
        "Riders": riders_row(),
    }
    return dashboard("eta-prediction", DESIGN.title, rows, design=NAME)


def traffic_row() -> tuple[Panel, ...]:
    return (
        graph(
            "Age of the traffic",
            "Age of the state of the roads that quotes use, in world time. The worker writes one every 30 seconds. A "
            "state older than 300 seconds degrades every quote.",
            {"{{instance}}": f'lab_traffic_age_seconds{{design="{NAME}"}}'},
            unit="s",
            limit=SMALL.route.speeds_ttl_s,
        ),
        feature_age(
            "Age of the driver's row",
            "Age of the driver's feature row when the service reads it, in world time. A row older than 48 hours "
            "degrades the answer.",
            NAME,
        ),
        graph(
            "Traversals behind the traffic",
            "Decayed number of traversals behind the state of the roads. Below 50, the model without live traffic "
            "answers; such a quote is not degraded.",
            {"{{instance}}": f'lab_traffic_probes{{design="{NAME}"}}'},
            span=QUARTER,
            limit=SMALL.route.fewest_probes,
            limit_is="least",
        ),
        graph(
            "Traversals",
            "Traversals of edges per second that the worker received, and those that it received more than five "
            "minutes after their end.",
            {
                "received": f'sum(rate(lab_online_traversals_total{{design="{NAME}"}}[1m]))',
                "late": f'sum(rate(lab_online_late_traversals_total{{design="{NAME}"}}[1m]))',
            },
            span=QUARTER,
        ),
        graph(
            "States of the roads",
            "States that the worker writes, per minute. The service reads each new one.",
            {"per minute": f'60 * sum(rate(lab_online_road_states_total{{design="{NAME}"}}[5m]))'},
            span=QUARTER,
        ),
        graph(
            "Traffic update",
            "Time of the last change of the routing engine's edge times, while queries run.",
            {"{{instance}}": f'lab_traffic_update_seconds{{design="{NAME}"}}'},
            unit="s",
            span=QUARTER,
        ),
    )


def by_model() -> Panel:
    return graph(
        "Quotes by model",
        "Quotes per second by the model that answered. network and boosters end in live or static: with or without "
        "live traffic.",
        {"{{model}}": f'sum by (model) (rate(lab_online_quotes_total{{design="{NAME}"}}[1m]))'},
        unit="reqps",
        span=QUARTER,
        stacked=True,
    )


def riders_row() -> tuple[Panel, ...]:
    error = "lab_online_error_minutes_total"
    return (
        graph(
            "Error of P50",
            "Mean absolute error of P50 over arrived trips, in minutes, by kind of traffic. Empty without riders; "
            "`lab live eta_prediction` simulates riders and drivers.",
            {"all": share(error, JUDGED, NAME, "5m"), "{{traffic}}": share(error, JUDGED, NAME, "5m", "traffic")},
            unit="m",
        ),
        graph(
            "Trips by status",
            "Events of trips per second. A late quote makes more riders cancel.",
            {"{{status}}": f'sum by (status) (rate(lab_online_trips_total{{design="{NAME}"}}[1m]))'},
        ),
        graph(
            "Bias by type of ride",
            "Mean of P50 minus the actual time, in minutes; below 0, trips take longer than predicted. "
            f"`lab live eta_prediction` prints the value that the oracle expects. {LAST_HALF_HOUR}",
            {"{{ride_type}}": _bias("ride_type")},
            unit="m",
            from_zero=False,
        ),
        graph(
            "Bias by hours and weather",
            "The same in quiet and busy hours, dry and in rain.",
            {"{{hours}} {{weather}}": _bias(SLICE)},
            unit="m",
            from_zero=False,
        ),
        graph(
            "Coverage by type of ride",
            f"Share of trips between P10 and P90. The target is 80%. {LAST_HALF_HOUR}",
            {
                "all": share(COVERED, JUDGED, NAME, "30m"),
                "{{ride_type}}": share(COVERED, JUDGED, NAME, "30m", "ride_type"),
            },
            unit="percentunit",
        ),
        graph(
            "Coverage by hours and weather",
            "The same in quiet and busy hours, dry and in rain, and by kind of traffic.",
            {
                "{{hours}} {{weather}}": share(COVERED, JUDGED, NAME, "30m", SLICE),
                "{{traffic}}": share(COVERED, JUDGED, NAME, "30m", "traffic"),
            },
            unit="percentunit",
        ),
    )


def _bias(by: str) -> str:
    def rate(counter: str) -> str:
        return f'sum by ({by}) (rate({counter}{{design="{NAME}"}}[30m]))'

    predicted, actual = (rate(f"lab_online_{kind}_minutes_total") for kind in ("predicted", "actual"))
    return f"({predicted} - {actual}) / {rate(JUDGED)}"
