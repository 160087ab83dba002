"""Describes a build from real files in sentences for the terminal."""

from __future__ import annotations

from typing import Any

import numpy as np

from eta_prediction.offline.trip_files.route import GREAT_CIRCLE_KMH, SNAP_M

TESTED = {"time": "the latest fifth", "rows": "a fifth of the rows, chosen by a hash of the line number"}


def notes_of(facts: dict[str, Any]) -> list[str]:
    """Sentences about the map, the split and the training."""
    notes = _map_notes(facts["map"]) if "map" in facts else []
    if "training" not in facts:
        return notes
    if "map" in facts:
        notes += _unusable(facts["map"])
    else:
        notes.append(f"no map: the great-circle distance at {GREAT_CIRCLE_KMH:.0f} km/h takes the route's place")
    rows, training = facts["rows"], facts["training"]
    fixed = training["correction"]
    tested = TESTED[facts["options"]["split"]]
    notes += [
        f"trained on {rows['train']:,} trips, tested on {rows['test']:,}: {tested}",
        f"corrected route: {fixed['fixed_s']:.0f} s + {fixed['factor']:.2f} × route, by hour and length",
    ]
    if training["level_half_life_days"] is not None:
        notes.append(f"the latest training days are {np.expm1(training['level']):+.1%} off the mean of all")
    return [*notes, f"intervals resample the tested {facts['resampled']}"]


def _map_notes(found: dict[str, Any]) -> list[str]:
    parts = found["strongly_connected_parts"]
    share = f"{found['connected_share_of_nodes']:.1%} of the nodes, the largest of {parts:,} strongly connected parts"
    size = f"map: {found['nodes']:,} nodes and {found['edges']:,} edges, {found['km']:,.0f} km"
    notes = [f"{size}; {share if parts > 1 else 'strongly connected'}"]
    if found["format"] == "dimacs":
        units = [f"{what} in {found[f'unit_of_{what}']}" for what in ("distance", "time") if f"unit_of_{what}" in found]
        assumed = [f"travel times at {found['assumed_kmh']:.0f} km/h"] if "assumed_kmh" in found else []
        notes.append(f"map, found or assumed: {', '.join(units + assumed)}")
    for reason, count in found.get("replaced", {}).items():
        notes.append(f"map, replaced by a usual value: {reason}: {count:,}")
    if "snapped_share" in found:
        notes.append(
            f"snapped: {found['snapped_share']:.1%} of the trips have both ends within {SNAP_M:.0f} m of a node; "
            f"{found['routed_pairs']:,} routes by {found['engine']}"
        )
    if "compared" in found:
        notes.append(f"routes: {found['compared']} random ones cost the same by {found['engine']} and by Dijkstra")
    return notes


def _unusable(found: dict[str, Any]) -> list[str]:
    """The refused parts of the map, which the counts of the trips do not show."""
    return [
        f"map, refused, {reason}: {refused['count']:,} {found['read']['what']}"
        for reason, refused in found["read"]["reasons"].items()
    ]
