"""The law of a trip's time, given its route and the state of the city.

    T = O_pick_up + O_drop_off + detour + e^η [Σ_j a_j e^(A z_j) + turns + queues]

`log O` is normal around the place's mean, `η ~ N(-σ²/2, σ²)`, so that e^η has mean 1. A driver's habit is a part of η
that a system learns once the driver is known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eta_prediction.config import TripConfig
from eta_prediction.domain import POOLED, Array, Ints

DETOUR_SPREAD = 0.5
"""sd of the log of a second rider's detour"""
RUSH_NOISE, RAIN_NOISE, TYPICAL_KM = 0.3, 0.15, 6.0


@dataclass(frozen=True)
class Trips:
    """What the law of a trip needs besides traffic; all float64[n] but `ride_type` and `driver` int64[n].

    `sd` is σ of η; `habit` is the driver's mean of η.
    """

    log_pick_up: Array
    log_drop_off: Array
    turns_s: Array
    sd: Array
    habit: Array
    ride_type: Ints

    def __len__(self) -> int:
        return len(self.sd)


def noise_of(config: TripConfig, km: Array, profile: Array, rain: Array) -> Array:
    """σ of η: larger on short trips, in the rush hours and in rain."""
    short = np.clip(np.sqrt(TYPICAL_KM / np.maximum(km, 1.0)), 0.6, 1.4)
    found: Array = config.noise * short * (1 + RUSH_NOISE * profile) * (1 + RAIN_NOISE * rain)
    return found


def turn_time(config: TripConfig, turns: Array, signals: Array, profile: Array) -> Array:
    found: Array = (config.turn_s * turns + config.signal_s * signals) * (1 + profile)
    return found


def draw_overheads(config: TripConfig, trips: Trips, rng: np.random.Generator, draws: int = 1) -> Array:
    """float64[draws, n]: pick-up, drop-off and the detour of a pooled trip, in seconds."""
    shape = (draws, len(trips))
    noise = config.overhead_noise
    places = np.exp(trips.log_pick_up + noise * rng.normal(size=shape)) + np.exp(
        trips.log_drop_off + noise * rng.normal(size=shape)
    )
    detour = np.exp(np.log(config.detour_s) + DETOUR_SPREAD * rng.normal(size=shape))
    shared = (trips.ride_type == POOLED) & (rng.random(shape) < config.detour_share)
    found: Array = places + np.where(shared, detour, 0.0)
    return found


def draw_factor(
    config: TripConfig, trips: Trips, rng: np.random.Generator, draws: int = 1, *, knows_driver: bool = True
) -> Array:
    """float64[draws, n]: e^η, given the driver assigned at the quote.

    Another driver, whose habit is unknown, serves `reassigned_share` of the trips. Without the driver, no habit is
    known.
    """
    shape = (draws, len(trips))
    rest = np.sqrt(trips.sd**2 - config.driver_spread**2) * rng.normal(size=shape)
    other = config.driver_spread * rng.normal(size=shape)
    is_other = rng.random(shape) < (config.reassigned_share if knows_driver else 1.0)
    found: Array = np.exp(-0.5 * trips.sd**2 + np.where(is_other, other, trips.habit) + rest)
    return found


def served_factor(config: TripConfig, trips: Trips, habit: Array, rng: np.random.Generator) -> Array:
    """float64[n]: e^η of trips that drivers with this `habit` float64[n] serve."""
    rest = np.sqrt(trips.sd**2 - config.driver_spread**2) * rng.normal(size=len(trips))
    found: Array = np.exp(-0.5 * trips.sd**2 + habit + rest)
    return found
