"""The dashboard of models and builds: what serves, what each build took, and what its data checks found."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from scripts.dashboards.panels import THIRD, WIDE, dashboard, graph, number
from scripts.dashboards.shared import age_of_model


def build() -> Dashboard:
    models = (
        number(
            "Models in service",
            "Model version of each service, and the time since its release.",
            {"{{name}} version {{version}}": age_of_model()},
            unit="s",
            span=WIDE,
        ),
        graph(
            "Releases loaded",
            "Releases that a service has loaded or refused, in the last hour.",
            {"{{design}} {{result}}": "sum by (design, result) (increase(lab_release_swaps_total[1h]))"},
        ),
    )
    builds = (
        number(
            "Since the last successful build",
            "Time since the last build of each design ended well.",
            {"{{design}}": "time() - lab_build_last_success_timestamp_seconds"},
            unit="s",
            span=THIRD,
        ),
        number(
            "Last build",
            "0 if the last build of the design ended well, 1 if it failed.",
            {"{{design}}": "lab_build_failed"},
            span=THIRD,
        ),
        number(
            "Data quality",
            "Failed checks of the log, and warnings, in the newest report of each design. `lab quality` shows them.",
            {
                "{{design}} failures": "lab_data_quality_failures",
                "{{design}} warnings": "lab_data_quality_warnings",
            },
            span=THIRD,
        ),
        graph(
            "Time of each step",
            "Seconds of each step of the current build.",
            {"{{design}} {{step}}": "lab_build_step_seconds"},
            unit="s",
        ),
        graph(
            "Memory of each step",
            "Peak memory of the process that ran the step, up to the end of the step.",
            {"{{design}} {{step}}": "lab_build_step_peak_bytes"},
            unit="bytes",
        ),
        graph(
            "Rows",
            "Counts that the steps of the current build report.",
            {"{{design}} {{step}} {{of}}": "lab_build_step_count"},
        ),
    )
    return dashboard("builds", "Models and builds", {"Models": models, "Builds": builds})
