"""Chooses the offset at which a client resumes each partition that its group assigned.

The effect's stored offsets take precedence over the committed ones. If the broker no longer has an offset, or does not
have it yet, the client resumes at the nearest existing offset.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from infra.stream.kafka_client import Assigned, kafka_errors

log = logging.getLogger(__name__)


def settle(
    assigned: Assigned, resume: Mapping[tuple[str, int], int], lose: Callable[[str, int], object], timeout_ms: int
) -> None:
    """Resume at the offset in `resume`, else at the group's committed offset, else at the beginning.

    `lose(topic, n)` is called with the number of messages that the broker dropped before the client read them.
    """
    client, places = assigned.client, sorted(assigned.fresh)
    with kafka_errors("find the start offsets"):
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
                log.error(
                    "%s/%d: the broker has offsets %d to %d, but not %d", *place, begins[place], ends[place], wanted
                )
                lose(place.topic, max(0, at - wanted))
            client.seek(place, at)
        client.resume(*places)
    assigned.fresh = set()
