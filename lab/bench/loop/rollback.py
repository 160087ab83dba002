"""The time from a crossed guardrail to the last answer of the bad version.

A challenger answers half of the users. Then a replica's counts say that all of its requests fail; the monitor has to
notice, and the service has to follow.
"""

from __future__ import annotations

import json
import time

from infra.design import Design
from infra.errors import LabError
from infra.evaluation.copied_release import begin_copied_rollout, copied_release
from infra.files import write_atomically
from infra.registry.release import read_release
from infra.registry.rollout import read_rollout, write_rollout
from infra.serving.release_tally import FOLDER
from lab.bench.loop.swaps import Probe, fresh_folder
from lab.bench.up import OwnLab

CANARY_S, PATIENCE_S, AFTER_S = 10.0, 90.0, 5.0
FAILED = 1_000


def measure_rollback(design: Design, lab: OwnLab, rounds: int) -> dict[str, list[float]]:
    return {"rollback_s": [_once(design, lab, number) for number in range(rounds)]}


def _once(design: Design, lab: OwnLab, number: int) -> float:
    root, folder = lab.settings.design_root(design.name), fresh_folder(lab, number)
    served = read_release(root)
    challenger = copied_release(served, folder, 7200 + number)
    bad = f"{challenger.model_name}/{challenger.model_version}"
    begun = begin_copied_rollout(root, challenger, folder, before=served.model_version, share=0.0)
    write_rollout(root, begun, begun.moved("canary", share=0.5))
    report = root / FOLDER / "replica-bench.json"
    with Probe(lab.url, design.ask.path) as probe:
        time.sleep(CANARY_S)
        counts = {"ok": 0, "degraded": 0, "shed": 0, "failed": FAILED, "slow": 0}
        shadow = {"done": 0, "failed": 0, "shed": 0}
        content = {"digest": challenger.model_digest, "models": {bad: counts}, "shadow": shadow, "error": ""}
        report.parent.mkdir(exist_ok=True)
        write_atomically(report, json.dumps(content))
        crossed = time.monotonic()
        while read_rollout(root).stage != "rolled back":
            if time.monotonic() - crossed > PATIENCE_S:
                raise LabError("the challenger was not rolled back")
            time.sleep(0.1)
        time.sleep(AFTER_S)
    report.unlink()
    answers = [began + seconds for began, seconds, _, model in probe.sent if model == bad]
    if not answers:
        raise LabError("the challenger answered no request")
    return max(max(answers) - crossed, 0.0)
