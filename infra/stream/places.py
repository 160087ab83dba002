"""Where a client of a group reads on in the partitions that it has just been given.

The effect may know better than the group (its files say how far it came), and either may name an offset that the broker
no longer has, or not yet: then reading goes on at the nearest one there is, instead of at the begin or never.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from infra.stream.kafka_client import Assigned, kafka_errors

log = logging.getLogger(__name__)


def settle(
    assigned: Assigned, resume: Mapping[tuple[str, int], int], lose: Callable[[str, int], object], timeout_ms: int
) -> None:
    """Go on at the offset of `resume`, else at what the group has committed, else at the begin. `lose` is told of
    messages that the broker has dropped before they were read."""
    client, places = assigned.client, sorted(assigned.fresh)
    with kafka_errors("find where to go on"):
        begins = client.beginning_offsets(places, timeout_ms=timeout_ms)
        ends = client.end_offsets(places, timeout_ms=timeout_ms)
        for place in places:
            wanted = resume.get((place.topic, place.partition))
            if wanted is None:
                wanted = client.committed(place, timeout_ms=timeout_ms)
            if wanted is None:
                wanted = begins[place]
            at = min(max(wanted, begins[place]), ends[place])
            if at != wanted:
                log.error("%s/%d: the broker has %d to %d, not %d", *place, begins[place], ends[place], wanted)
                lose(place.topic, max(0, at - wanted))
            client.seek(place, at)
        client.resume(*places)
    assigned.fresh = set()
