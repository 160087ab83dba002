"""The price of the shadow: the p99 of requests with each of them also computed by a challenger, and without."""

from __future__ import annotations

import time

from infra.design import Design
from infra.errors import LabError
from infra.evaluation.copied_release import begin_copied_rollout, copied_release
from infra.registry.release import read_release
from infra.registry.rollout import Lease, read_rollout, write_rollout
from lab.bench.loop.swaps import Probe, fresh_folder
from lab.bench.up import OwnLab
from lab.services.client import call

PHASE_S, SETTLE_S = 30.0, 4.0
LEAST_ROUNDS = 3


def measure_shadow(design: Design, lab: OwnLab, rounds: int) -> dict[str, list[float]]:
    """Alternate phases without a challenger and with one in the shadow of all requests; the ratio of neighbours."""
    root = lab.settings.design_root(design.name)
    served, lease = read_release(root), Lease(root)
    while not lease.take():  # the monitor must not move the rollout on
        time.sleep(0.5)
    found = []
    try:
        with Probe(lab.url, design.ask.path) as probe:
            for number in range(max(rounds, LEAST_ROUNDS)):
                without = _phase(probe)
                folder = fresh_folder(lab, number)
                challenger = copied_release(served, folder, 7100 + number)
                begin_copied_rollout(root, challenger, folder, before=served.model_version, share=1.0)
                _await(lab, is_loaded=True)
                found.append(_phase(probe) / without)
                write_rollout(root, read_rollout(root), read_rollout(root).moved("stopped", reason="measured"))
                _await(lab, is_loaded=False)
    finally:
        lease.give_back()
    return {"shadow_p99_ratio": found}


def _phase(probe: Probe) -> float:
    time.sleep(SETTLE_S)
    began = time.monotonic()
    time.sleep(PHASE_S)
    return probe.p99_ms(began, time.monotonic())


def _await(lab: OwnLab, *, is_loaded: bool) -> None:
    until = time.monotonic() + 60
    while bool(call("GET", f"{lab.url}/readyz")["challenger"]) != is_loaded:
        if time.monotonic() > until:
            raise LabError("the service did not follow the rollout")
        time.sleep(0.2)
