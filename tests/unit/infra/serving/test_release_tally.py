"""Each replica counts the answers of both models since the rollout began, and the files add up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from infra.serving.release_tally import FOLDER, Counts, ReleaseTally, ShadowCounts, forget_tallies, read_tallies


def test_counts_of_two_replicas_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for pid in (1, 2):
        monkeypatch.setattr("os.getpid", lambda pid=pid: pid)
        tally = ReleaseTally(tmp_path, slow_s=0.2)
        tally.ended("tiny/1", "ok", 0.1)  # before the rollout
        tally.begin("dd")
        for outcome, seconds in (("ok", 0.1), ("ok", 0.3), ("failed", 0.1), ("shed", 0.0), ("rejected", 0.1)):
            tally.ended("tiny/2", outcome, seconds)
        tally.ended("tiny/1", "degraded", 0.1)
        tally.shadowed("done")
        tally.shadowed("failed")
        tally.write()
    found = read_tallies(tmp_path, "dd")
    assert found.models == {"tiny/1": Counts(degraded=2), "tiny/2": Counts(ok=4, failed=2, shed=2, slow=2)}
    assert (found.shadow, found.error) == (ShadowCounts(done=2, failed=2), "")
    assert found.models["tiny/2"].answered == 6
    assert read_tallies(tmp_path, "ee").models == {}


def test_new_rollout_counts_from_zero_and_an_error_is_told(tmp_path: Path) -> None:
    tally = ReleaseTally(tmp_path, slow_s=0.2)
    tally.begin("dd")
    tally.ended("tiny/1", "ok", 0.1)
    tally.begin("ee")
    tally.write("the model is damaged")
    assert read_tallies(tmp_path, "ee").error == "the model is damaged"
    assert read_tallies(tmp_path, "ee").models == {}


def test_foreign_files_are_left_out_and_old_ones_deleted(tmp_path: Path) -> None:
    folder = tmp_path / FOLDER
    folder.mkdir()
    (folder / "replica-a.json").write_text("{")
    (folder / "replica-b.json").write_text(json.dumps({"digest": "dd", "models": {"m": {"what": 1}}}))
    assert read_tallies(tmp_path, "dd").models == {}
    forget_tallies(tmp_path)
    assert len(list(folder.iterdir())) == 2
    forget_tallies(tmp_path, older_than_s=-1.0)
    assert not list(folder.iterdir())


def test_counts_are_exported_by_model(tmp_path: Path) -> None:
    registry, tally = CollectorRegistry(), ReleaseTally(tmp_path, slow_s=0.2)
    registry.register(tally)
    tally.begin("dd")
    tally.ended("tiny/2", "ok", 0.3)
    text = generate_latest(registry).decode()
    assert 'lab_rollout_responses_total{model="tiny/2",outcome="ok"} 1.0' in text
    assert 'lab_rollout_responses_total{model="tiny/2",outcome="slow"} 1.0' in text
