"""Side effect after the response: the entry for the log of quotes."""

from __future__ import annotations

from dataclasses import replace

from eta_prediction.events.codec import EDGES, INPUTS, pack
from eta_prediction.events.schemas import Quote
from eta_prediction.online.query import EtaQuery
from eta_prediction.online.service import EtaService


def quote_of(service: EtaService, query: EtaQuery, degraded: list[str]) -> Quote:
    """The log entry, with everything that a replay needs."""
    quoted = query.routes[0]
    return Quote(
        quote_id=query.quote_id,
        request_ts=query.request_ts,
        departure_ts=query.departure_ts,
        origin=query.origin,
        destination=query.destination,
        ride_type=query.ride_type,
        driver_id=query.driver_id,
        policy=query.policy,
        propensity=query.propensity,
        seed=query.seed,
        knobs=dict(query.knobs),
        degraded=degraded,
        model_version=service.model_version,
        model_digest=service.bundle.digest,
        model=query.model,
        speeds_id=query.state.snapshot_id,
        speeds_ts=query.state.made_ts,
        traffic="live" if query.is_live else "static",
        route_source=query.route_source,
        edges=pack(quoted.edges, EDGES),
        x=pack(query.x, INPUTS),
        driver_ts=query.driver_ts,
        quantiles=query.quantiles.tolist(),
        quoted_s=query.quoted_s,
        distance_m=1000 * quoted.km,
        inputs_digest=service.city.inputs_digest,
    )


def shadow_quote(challenger: EtaService, query: EtaQuery) -> Quote:
    """The log entry of the same request, computed by a rollout's challenger."""
    again = challenger.query(query.ride_type, query.knobs, seed=query.seed, at_ts=query.request_ts)
    again = again.but(driver_id=query.driver_id, departure_ts=query.departure_ts, most_routes=1)
    answered, trace = challenger.answer(again, query.origin, query.destination)
    return replace(quote_of(challenger, answered, trace.degraded), shadow_of=query.quote_id)
