"""A challenger beside the champion in two replicas: shadow, canary, the ways out, and a monitor that is killed."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pyarrow.dataset as ds
import pytest

from infra.evaluation.copied_release import begin_copied_rollout, copied_release
from infra.registry.release import read_release
from infra.registry.rollout import read_rollout
from infra.settings import REPOSITORY, Settings
from lab.services.client import request
from tests.conftest import HOME
from tests.e2e.conftest import Lab, running_until_the_end, start_lab
from tests.support.smoke_build import copy_home
from tests.support.waiting import until

ROLLOUT_HOME = REPOSITORY / "var" / "liveA"
SETTINGS = Settings(home=ROLLOUT_HOME, preset="smoke")
ROOT = SETTINGS.design_root("feed_ranking")
MODEL = "feed_ranking-smoke"


@pytest.fixture(scope="module")
def lab(settings: Settings) -> Iterator[Lab]:
    copy_home(HOME, ROLLOUT_HOME)
    yield from running_until_the_end(start_lab(ROLLOUT_HOME, replicas=2))


def challengers(lab: Lab) -> list[str]:
    """What each replica says about its challenger."""
    return [str(request("GET", f"{url}/readyz", timeout=30).json()["challenger"]) for url in lab.replica_urls]


def ask_many(lab: Lab, users: range) -> Counter[str]:
    """The model versions that answer these users."""
    found: Counter[str] = Counter()
    for user in users:
        answer = request("POST", f"{lab.url}/v1/feed", json={"user_id": user, "k": 5}, timeout=30).json()
        found[answer["model_version"]] += 1
    return found


def kinds(lab: Lab) -> list[str]:
    return [row["kind"] for row in lab.run("timeline", "feed_ranking", "--json", parse=True)]


def begin(lab: Lab, folder: Path, version: int) -> Any:
    served = read_release(ROOT)
    challenger = copied_release(served, folder, version)
    begin_copied_rollout(ROOT, challenger, folder, before=served.model_version, share=0.5)
    return served, challenger


def shadowed_rows() -> int:
    files = [str(path) for path in (ROOT / "live/predictions").glob("date=*/hour=*/*.parquet")]
    return 0 if not files else int(ds.dataset(files).count_rows(filter=ds.field("is_shadow")))


def test_challenger_computes_in_the_shadow_and_then_answers_its_share(lab: Lab, tmp_path: Path) -> None:
    served, _ = begin(lab, tmp_path, 2001)
    until(lambda: all("shadow" in state for state in challengers(lab)), "the challenger in both replicas")

    def has_canary() -> bool:
        assert set(ask_many(lab, range(60))) <= {f"{MODEL}/{served.model_version}", f"{MODEL}/2001"}
        return all("canary 20%" in state for state in challengers(lab))

    until(has_canary, "the canary in both replicas")
    answered = ask_many(lab, range(1_000, 1_300))
    assert set(answered) == {f"{MODEL}/{served.model_version}", f"{MODEL}/2001"}
    assert 0.1 < answered[f"{MODEL}/2001"] / 300 < 0.3
    assert ask_many(lab, range(1_000, 1_300)) == answered, "a user stays with one model"
    until(lambda: shadowed_rows() > 0, "predictions of the shadow in the log")
    assert {"shadow", "canary"} & set(kinds(lab)) == {"canary"}, "the test began the rollout, the monitor moved it on"

    lab.run("stop", "feed_ranking", "--reason", "seen enough")
    until(lambda: challengers(lab) == ["", ""], "the end of the rollout in both replicas")
    assert set(ask_many(lab, range(1_000, 1_100))) == {f"{MODEL}/{served.model_version}"}
    assert kinds(lab)[-1] == "stop"


def test_killed_monitor_goes_on_and_takes_a_challenger_back_that_cannot_be_loaded(lab: Lab, tmp_path: Path) -> None:
    monitor = lab.pid_of("monitor")
    os.kill(monitor, signal.SIGKILL)
    until(lambda: not psutil.pid_exists(monitor), "the end of the monitor")
    served, challenger = begin(lab, tmp_path, 2002)
    with (Path(challenger.model_path) / "heavy.onnx").open("ab") as file:
        file.write(b"damaged")
    until(lambda: read_rollout(ROOT).stage == "rolled back", "the rollback by a new monitor")
    rollout = read_rollout(ROOT)
    assert "a replica cannot load it" in rollout.reason
    assert challenger.model_digest in rollout.rejected
    assert set(ask_many(lab, range(50))) == {f"{MODEL}/{served.model_version}"}
    assert kinds(lab)[-1] == "rollback"
    lab.run("stop", "feed_ranking", code=2)
