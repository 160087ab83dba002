"""The faults of the ports that all designs share. A design registers the faults of its own ports itself.

`designs/failure_modes.md` has a row for each registered fault.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from typing import Any

from infra.faults.feature_store import DownFeatureStore, HungFeatureStore, SlowFeatureStore
from infra.faults.parts import DownIndex, DownModel, DownStream


@dataclass(frozen=True)
class Fault:
    """One injectable fault. `wrap(inner, delay_s, cleared)` wraps a port; clearing the fault sets `cleared`."""

    port: str
    name: str
    title: str
    wrap: Callable[[Any, float, Event], Any]


def model_down(port: str, what: str) -> Fault:
    """The fault "down" of the network at `port`: every call fails. `what` names the network in the fault's title."""
    return Fault(port, "down", f"every call of {what} fails", lambda *_: DownModel(port))


FEATURE_STORE: tuple[Fault, ...] = (
    Fault(
        "feature_store",
        "down",
        "every online read fails",
        lambda inner, _delay_s, _cleared: DownFeatureStore(inner),
    ),
    Fault(
        "feature_store",
        "slow",
        "every online read first waits delay_s",
        lambda inner, delay_s, _cleared: SlowFeatureStore(inner, delay_s),
    ),
    Fault(
        "feature_store",
        "hang",
        "no online read returns",
        lambda inner, _delay_s, cleared: HungFeatureStore(inner, cleared),
    ),
)
INDEX = Fault("index", "down", "every search of the vector index fails", lambda *_: DownIndex())
STREAM = Fault("stream", "down", "the broker neither accepts nor delivers events", lambda *_: DownStream())
