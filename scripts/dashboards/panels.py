"""Panels and the frame of a dashboard, with Grafana's typed builders. Panels fill rows of 24 columns from the left."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from grafana_foundation_sdk.builders import common, prometheus, stat, timeseries
from grafana_foundation_sdk.builders.dashboard import AnnotationQuery, Dashboard, Row, ThresholdsConfig
from grafana_foundation_sdk.models.common import BigValueTextMode, GraphThresholdsStyleMode, StackingMode
from grafana_foundation_sdk.models.dashboard import DataSourceRef, Threshold, ThresholdsMode

Queries = Mapping[str, str]
"""legend -> query"""
Panel = timeseries.Panel | stat.Panel
PROMETHEUS = DataSourceRef(type_val="prometheus", uid="prometheus")
HEIGHT = 8
WIDE, THIRD, QUARTER = 12, 8, 6
GREEN, RED = "green", "red"


def graph(
    title: str,
    description: str,
    queries: Queries,
    *,
    unit: str = "short",
    span: int = WIDE,
    stacked: bool = False,
    limit: float | None = None,
    limit_is: Literal["most", "least"] = "most",
    from_zero: bool = True,
) -> Panel:
    """Lines over time. `limit` draws a line at the largest (or smallest) value that is allowed."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(PROMETHEUS)
        .unit(unit)
        .span(span)
        .height(HEIGHT)
        .line_width(1)
        .fill_opacity(30 if stacked else 5)
        .stacking(common.StackingConfig().mode(StackingMode.NORMAL if stacked else StackingMode.NONE))
    )
    if from_zero:
        panel = panel.min(0)
    if limit is not None:
        below, above = (GREEN, RED) if limit_is == "most" else (RED, GREEN)
        steps = [Threshold(value=None, color=below), Threshold(value=limit, color=above)]
        panel = panel.thresholds(ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)).thresholds_style(
            common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.LINE)
        )
    return _with_queries(panel, queries)


def number(title: str, description: str, queries: Queries, *, unit: str = "short", span: int = QUARTER) -> Panel:
    """The latest value of each series, with its name."""
    panel = stat.Panel().title(title).description(description).datasource(PROMETHEUS).unit(unit).span(span)
    return _with_queries(panel.height(HEIGHT).text_mode(BigValueTextMode.VALUE_AND_NAME), queries)


def _with_queries(panel: Panel, queries: Queries) -> Panel:
    for place, (legend, query) in enumerate(queries.items()):
        target = prometheus.Dataquery().expr(query).legend_format(legend).ref_id(chr(ord("A") + place))
        panel = panel.with_target(target.datasource(PROMETHEUS))
    return panel


def dashboard(uid: str, title: str, rows: Mapping[str, tuple[Panel, ...]], *, design: str = "") -> Dashboard:
    """A dashboard with named rows of panels, and annotations of one design or of all."""
    found = Dashboard(title).uid(uid).tags(["lab"]).timezone("browser").editable().refresh("5s").time("now-15m", "now")
    for mark in marks(design):
        found = found.annotation(mark)
    for name, panels in rows.items():
        found = found.with_row(Row(name))
        for panel in panels:
            found = found.with_panel(panel)
    return found


def marks(design: str = "") -> list[AnnotationQuery]:
    """What happened: injected faults, releases that a service has loaded, and builds that have ended."""
    only = f'{{design="{design}"}}' if design else ""
    happened = {
        "fault": (f"max by (design, port, fault) (lab_fault_active{only}) > 0", "red"),
        "promotion": (f"max by (design) (changes(lab_model_released_timestamp_seconds{only}[30s])) > 0", "blue"),
        "build": (f"max by (design) (changes(lab_build_last_success_timestamp_seconds{only}[30s])) > 0", "green"),
    }
    return [
        AnnotationQuery().name(name).datasource(PROMETHEUS).enable(True).expr(query).icon_color(color)
        for name, (query, color) in happened.items()
    ]
