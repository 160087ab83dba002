"""The cases of experiments: rides of the day after the history, with what was reported around them.

A judge makes the rides and a player answers them; neither imports the other. No feature and no model has seen the day.
"""

from __future__ import annotations

from dataclasses import dataclass

from eta_prediction.domain import Array, Ints
from eta_prediction.events.history import IncidentRows
from eta_prediction.worker.append_log import Driven


@dataclass(frozen=True)
class Reported:
    """What vehicles and sensors reported from `from_ts` on: `driven` in order of `known_ts`, incidents, and the rain as
    (`at_ts`, `rain`) float64[steps]. A player may use what was known at the departure of its ride."""

    from_ts: float
    driven: Driven
    incidents: IncidentRows
    weather: tuple[Array, Array]


@dataclass(frozen=True)
class Ride:
    """Request `number` of the day. `reported` is the same value in all rides of a judge."""

    number: int
    origin: int
    destination: int
    ride_type: int
    driver_id: int
    at_ts: float
    reported: Reported


@dataclass(frozen=True)
class PlayedQuote:
    """One answer for experiments: `edges` of the quoted route, P10, P50 and P90 float64[3] and the quote in seconds."""

    edges: Ints
    quantiles: Array
    quoted_s: float
