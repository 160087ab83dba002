"""Values of OpenStreetMap tags as OSMnx writes them: classes of road and speed limits.

A value may be a list in text, such as `['30 mph', '50']`, because OSMnx merges ways.
"""

from __future__ import annotations

import ast
import math
import re
from types import MappingProxyType

from eta_prediction.domain import ARTERIAL, LOCAL, MOTORWAY

KMH_PER_MPH, KMH_PER_KNOT = 1.609344, 1.852
ROADS = MappingProxyType(
    {
        "motorway": (MOTORWAY, 100.0),
        "trunk": (MOTORWAY, 80.0),
        "primary": (ARTERIAL, 60.0),
        "secondary": (ARTERIAL, 50.0),
        "tertiary": (ARTERIAL, 45.0),
        "unclassified": (LOCAL, 40.0),
        "residential": (LOCAL, 30.0),
        "living_street": (LOCAL, 10.0),
        "service": (LOCAL, 15.0),
        "road": (LOCAL, 30.0),
        "busway": (LOCAL, 30.0),
        "track": (LOCAL, 15.0),
        "rest_area": (LOCAL, 15.0),
        "services": (LOCAL, 15.0),
        "escape": (LOCAL, 15.0),
        "crossing": (LOCAL, 30.0),
    }
)
"""value of `highway` -> (class, km/h without a speed limit). A link has the class of its road and 70% of the speed."""
NOT_FOR_CARS = frozenset(
    re.split(
        " ",
        "footway cycleway path pedestrian steps corridor bridleway elevator platform proposed construction abandoned "
        "razed raceway bus_guideway via_ferrata",
    )
)
LIMITS = MappingProxyType(
    {
        "none": 130.0,
        "motorway": 120.0,
        "trunk": 100.0,
        "rural": 90.0,
        "urban": 50.0,
        "living_street": 10.0,
        "walk": 7.0,
        "nsl_single": 60 * KMH_PER_MPH,
        "nsl_dual": 70 * KMH_PER_MPH,
        "nsl_restricted": 30 * KMH_PER_MPH,
    }
)
"""limits by name in km/h, after the country, as in `DE:urban`"""
SPEEDS_KMH = (3.0, 160.0)


def values_of(text: str) -> list[str]:
    """The values of an attribute: of a list in text, or separated by `;` or `|`, or the text itself."""
    text = text.strip()
    if text[:1] in "[({" and len(text) > 1:
        try:
            found = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            found = re.split(r"[,;|]", text.strip("[](){}"))
        return [str(value).strip(" '\"") for value in found if value is not None]
    return [value.strip() for value in re.split(r"[;|]", text) if value.strip()]


def kmh_of(text: str) -> float | None:
    """The speed in km/h of `maxspeed`, the mean of a list; None if the text has none that is possible on a road."""
    found = [kmh for value in values_of(text) if (kmh := _kmh(value.lower())) is not None]
    kmh = sum(found) / len(found) if found else math.nan
    return kmh if SPEEDS_KMH[0] <= kmh <= SPEEDS_KMH[1] else None


def road_of(text: str) -> tuple[int, float] | None:
    """(class, km/h) of `highway`, the fastest of a list; None if no car drives there."""
    kinds = [_road(value.lower()) for value in values_of(text)]
    roads = [road for road in kinds if road is not None]
    return max(roads, key=lambda road: road[1]) if roads else None


def _kmh(value: str) -> float | None:
    match = re.fullmatch(r"(\d+(?:[.,]\d+)?)\s*(mph|knots?|km/?h|kph|kmph)?", value)
    if match:
        number = float(match[1].replace(",", "."))
        unit = match[2] or ""
        return number * (KMH_PER_MPH if unit == "mph" else KMH_PER_KNOT if unit.startswith("knot") else 1.0)
    name = value.rpartition(":")[2].strip()
    zone = re.fullmatch(r"(?:zone)?\s*(\d+)", name)
    return float(zone[1]) if zone else LIMITS.get(name)


def _road(value: str) -> tuple[int, float] | None:
    kind, is_link = value.removesuffix("_link"), value.endswith("_link")
    if kind in NOT_FOR_CARS or not kind:
        return None
    road, kmh = ROADS.get(kind, ROADS["road"])
    return road, 0.7 * kmh if is_link else kmh
