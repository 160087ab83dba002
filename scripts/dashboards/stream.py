"""The dashboard of the event stream: every topic of every design."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from scripts.dashboards.panels import THIRD, dashboard, graph


def build() -> Dashboard:
    flow = (
        graph(
            "Events offered and acknowledged",
            "Events that the services pass to their producers, and events that the broker acknowledges, by topic. "
            "offered = acknowledged + dropped + waiting.",
            {
                "{{topic}} offered": "sum by (topic) (rate(lab_stream_offered_total[1m]))",
                "{{topic}} acknowledged": "sum by (topic) (rate(lab_stream_acked_total[1m]))",
            },
            span=THIRD,
        ),
        graph(
            "Events lost",
            "In the last five minutes: events that a producer dropped, by reason, and events that the broker deleted "
            "before a consumer read them.",
            {
                "{{design}} dropped: {{reason}}": "sum by (design, reason) (increase(lab_stream_dropped_total[5m]))",
                "{{design}} deleted by the broker": "sum by (design) (increase(lab_stream_lost_total[5m]))",
            },
            span=THIRD,
        ),
        graph(
            "Messages read, by result",
            "read = applied + duplicate + dead-lettered.",
            {"{{design}} {{result}}": "sum by (design, result) (rate(lab_stream_read_total[1m]))"},
            span=THIRD,
            stacked=True,
        ),
    )
    delay = (
        graph(
            "Lag",
            "Messages that the broker holds and the consumer group has not handled, by group and topic.",
            {"{{group}} {{topic}}": "sum by (group, topic) (lab_stream_lag)"},
        ),
        graph(
            "Delay from acknowledged to handled",
            "Delay of the newest batch, by topic. A worker writes the log every five seconds, and features sooner.",
            {"{{topic}}": "max by (topic) (lab_stream_delay_seconds)"},
            unit="s",
        ),
        graph(
            "Broker",
            "1 if the process reaches the broker.",
            {"{{design}} {{instance}}": "min by (design, instance) (lab_stream_up)"},
        ),
    )
    return dashboard("stream", "Event stream", {"Events": flow, "Delay": delay})
