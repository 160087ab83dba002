"""The response to a quote: its JSON document and its map."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from eta_prediction.items.live_roads import DISTANCE, LIVE, PROFILE
from eta_prediction.online.api.city_map import Drawn, draw
from eta_prediction.online.query import GREAT_CIRCLE, EtaQuery
from eta_prediction.online.route import delays
from eta_prediction.online.service import EtaService
from infra.pipeline.trace import Trace

ROUTES = {
    LIVE: "fastest route now",
    PROFILE: "fastest route in usual traffic",
    DISTANCE: "shortest route",
    GREAT_CIRCLE: "no route, as the crow flies",
}


def document(service: EtaService, query: EtaQuery, trace: Trace, *, explain: bool) -> dict[str, Any]:
    """The response body, with the fields of `EtaResponse`. orjson encodes it faster than Pydantic does."""
    p10, p50, p90 = (query.quantiles / 60).tolist()
    quoted, zone = query.routes[0], ZoneInfo(service.city.profile.time_zone)
    body: dict[str, Any] = {
        "quote_id": query.quote_id,
        "quoted_min": query.quoted_s / 60,
        "p10_min": p10,
        "p50_min": p50,
        "p90_min": p90,
        "distance_km": quoted.km,
        "departure": _local(query.departure_ts, zone),
        "arrival": _local(query.departure_ts + query.quoted_s, zone),
        "routes": [
            {
                "found_with": route.found_with,
                "minutes": route.seconds / 60,
                "distance_km": route.km,
                "is_quoted": route is quoted,
            }
            for route in query.routes
        ],
        "route": geometry(service, query),
        "edges": quoted.edges.tolist(),
        "route_source": query.route_source,
        "speeds_id": query.state.snapshot_id,
        "speeds_age_s": round(query.request_ts - query.state.made_ts, 3) if query.state.snapshot_id else None,
        "model": query.model,
        "model_version": service.model_version,
        "is_cold_start": query.is_cold,
        "degraded": trace.degraded,
        "policy": query.policy,
        "propensity": query.propensity,
        "seed": query.seed,
        "request_ts": query.request_ts,
        "departure_ts": query.departure_ts,
    }
    if explain:
        body["trace"] = trace.stages
    return body


def geometry(service: EtaService, query: EtaQuery) -> dict[str, Any]:
    """The quoted route as a GeoJSON LineString (RFC 7946): positions are longitude and latitude."""
    graph, edges = service.city.graph, query.routes[0].edges
    nodes = np.empty(len(edges) + 1 if len(edges) else 2, np.int64)
    nodes[0], nodes[1:] = query.origin, graph.head[edges] if len(edges) else query.destination
    points = np.empty((len(nodes), 2))
    points[:, 0], points[:, 1] = graph.lon[nodes], graph.lat[nodes]
    return {"type": "LineString", "coordinates": points.round(6).tolist()}


def map_of(service: EtaService, query: EtaQuery, degraded: list[str]) -> str:
    """The map of the quote as SVG."""
    p10, _, p90 = (query.quantiles / 60).tolist()
    state, quoted = query.state, query.routes[0]
    clock = datetime.fromtimestamp(state.made_ts, ZoneInfo(service.city.profile.time_zone)).strftime("%H:%M")
    traffic = f"traffic of {clock}" if query.is_live else "usual traffic"
    note = f"{quoted.km:.1f} km, {ROUTES[quoted.found_with]}, {traffic}"
    note += f", {len(state.incident_edge)} reported incidents in the city" if query.is_live else ""
    note += f"; degraded: {', '.join(degraded)}" if degraded else ""
    drawn = Drawn(
        graph=service.city.graph,
        delay=delays(service.live, query if query.is_live else query.but(state=state.without_traffic())),
        routes=[route.edges for route in query.routes if route.found_with != GREAT_CIRCLE],
        origin=query.origin,
        destination=query.destination,
        incidents=state.incident_edge if query.is_live else np.zeros(0, np.int64),
        title=f"{query.quoted_s / 60:.0f} min (80 of 100 trips: {p10:.0f} to {p90:.0f} min)",
        note=note,
    )
    return draw(drawn)


def _local(at_ts: float, zone: ZoneInfo) -> str:
    return datetime.fromtimestamp(at_ts, zone).isoformat(timespec="seconds")
