"""A retraining is due by the age of the release's data and by new labelled rows, and not twice for the same rows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.build.fingerprints import step_paths, take_cuts
from infra.columns import timestamps
from infra.errors import LabError
from infra.live.live_log import LiveLog, cut_of, live_root
from infra.live.retraining import DRIFT_ROWS, check_retraining
from infra.live.retraining_request import keep_requests
from infra.registry.release import Release
from infra.settings import Settings
from infra.telemetry.alerts.alert import Alert
from infra.telemetry.drift.status import FOLDER, Status, write_status
from tests.support.tiny import tiny_design
from tests.support.tiny_steps import DESIGN as STEPS

LOG = LiveLog("tiny", {"trips": "at_ts", "posts": "at_ts"}, trained=("trips", "posts"), labels=("trips", "arrival_ts"))
HOUR = 3600.0
END = 1_000_000.0
"""world time up to which the release has data"""


def cut(settings: Settings) -> str:
    return cut_of(LOG, settings)


DESIGN = tiny_design(
    replace(STEPS.steps[0], cut=f"{__name__}:cut"),
    replace(STEPS.steps[1], trains=True),
    STEPS.steps[2],
    live_log=f"{__name__}:LOG",
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A design with a release and an empty live log."""
    found = Settings(home=tmp_path, preset="smoke")
    root = found.design_root("tiny")
    Release("tiny", "tiny-smoke", 1, "", "", "", "", world_now=END).write(root / "release")
    (root / "current.json").write_text(json.dumps({"release": str(root / "release")}))
    build_up_to_training(found)
    return found


def build_up_to_training(settings: Settings) -> None:
    take_cuts(DESIGN, settings, DESIGN.steps)
    for path in list(step_paths(DESIGN, settings).values())[:2]:
        path.mkdir(parents=True, exist_ok=True)


def write(settings: Settings, number: int, *, rows: int, age_h: float, folder: str = "trips") -> None:
    """Write `rows` ends of trips, whose newest one is `age_h` after the end of the release's data, and as many
    beginnings, which have no label."""
    at = [END + age_h * HOUR - row for row in range(2 * rows)]
    labels = timestamps(at[:rows]).to_pylist() + [None] * rows
    table = pa.table({"at_ts": timestamps(at), "arrival_ts": pa.array(labels, pa.timestamp("us", "UTC"))})
    place = live_root(LOG, settings) / folder / "date=2026-01-05" / "hour=00"
    place.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, place / f"part-e-{number}.parquet")


def test_nothing_is_due_without_new_rows(settings: Settings) -> None:
    found = check_retraining(DESIGN, settings, max_age_s=0.0, enough_rows=1)
    assert not found.due, "a build would read the same log again"
    assert (found.age_s, found.new_rows) == (0.0, 0)


def drifted(settings: Settings, digest: str = "") -> None:
    (settings.design_root("tiny") / FOLDER).mkdir(exist_ok=True)
    status = Status(model_digest=digest, windows=5, drifted_at=9.0, reasons=("calibration of s1: 0.4, reference 0.8",))
    write_status(settings.design_root("tiny"), status)


def test_a_drift_makes_a_retraining_due_once_there_are_rows_to_learn_from(settings: Settings) -> None:
    drifted(settings)
    write(settings, 1, rows=DRIFT_ROWS - 1, age_h=0.1)
    assert not check_retraining(DESIGN, settings).due
    write(settings, 2, rows=1, age_h=0.1)
    for enough_rows in (DRIFT_ROWS, 10 * DRIFT_ROWS):
        found = check_retraining(DESIGN, settings, enough_rows=enough_rows)
        assert found.due
        assert found.reason == "the model has drifted: calibration of s1: 0.4, reference 0.8"


def test_a_drift_of_an_earlier_release_is_none_of_this_one(settings: Settings) -> None:
    drifted(settings, digest="of another model")
    write(settings, 1, rows=DRIFT_ROWS, age_h=0.1)
    assert not check_retraining(DESIGN, settings).due


@pytest.mark.parametrize(("name", "rows"), [("ModelDrifted", DRIFT_ROWS), ("ModelTooOld", 1)])
def test_an_alert_makes_a_retraining_due_once_there_are_rows_to_learn_from(
    settings: Settings, name: str, rows: int
) -> None:
    keep_requests(settings, ["tiny"], [Alert({"alertname": name, "design": "tiny"}, "", "", 1.0)])
    if rows > 1:
        write(settings, 1, rows=rows - 1, age_h=0.1)
    assert not check_retraining(DESIGN, settings).due
    write(settings, 2, rows=1, age_h=0.1)
    found = check_retraining(DESIGN, settings)
    assert (found.due, found.reason) == (True, f"alert {name}")
    keep_requests(settings, ["tiny"], [])
    assert not check_retraining(DESIGN, settings).due


def test_design_without_a_release_is_not_due(tmp_path: Path) -> None:
    """A watch checks every design, and a stack may serve one of them."""
    found = check_retraining(DESIGN, Settings(home=tmp_path, preset="smoke"))
    assert (found.due, found.reason) == (False, "tiny has not been built")


@pytest.mark.parametrize(("rows", "due"), [(9, False), (10, True)])
def test_enough_new_labelled_rows_are_due(settings: Settings, rows: int, due: bool) -> None:
    write(settings, 1, rows=rows, age_h=1)
    write(settings, 2, rows=50, age_h=1, folder="posts")
    found = check_retraining(DESIGN, settings, enough_rows=10)
    assert (found.due, found.new_rows) == (due, rows), "rows without a label do not count"


@pytest.mark.parametrize(("age_h", "due"), [(23.9, False), (24.0, True)])
def test_release_is_due_by_the_world_time_that_it_lacks(settings: Settings, age_h: float, due: bool) -> None:
    write(settings, 1, rows=3, age_h=age_h)
    found = check_retraining(DESIGN, settings)
    assert (found.due, found.age_s) == (due, age_h * HOUR)
    assert f"{age_h:.1f} h" in found.reason


def test_rows_of_the_last_cut_are_not_due_again_after_a_refused_model(settings: Settings) -> None:
    write(settings, 1, rows=30, age_h=25)
    assert check_retraining(DESIGN, settings, enough_rows=10).due
    build_up_to_training(settings)  # the gate refuses the model: the release stays
    again = check_retraining(DESIGN, settings, enough_rows=10)
    assert (again.due, again.new_rows) == (False, 0)
    write(settings, 2, rows=12, age_h=26)
    assert check_retraining(DESIGN, settings, enough_rows=10).new_rows == 12


def test_build_that_was_stopped_before_it_had_trained_is_due(settings: Settings) -> None:
    write(settings, 1, rows=30, age_h=1)
    take_cuts(DESIGN, settings, DESIGN.steps)
    found = check_retraining(DESIGN, settings)
    assert (found.due, found.new_rows) == (True, 0)
    assert "no models exist for the last cut" in found.reason
    drifted(settings)
    write(settings, 2, rows=1_000, age_h=1)
    assert "has drifted" in check_retraining(DESIGN, settings).reason, "the drift is the reason that matters"


def test_damaged_log_is_reported(settings: Settings) -> None:
    write(settings, 1, rows=1, age_h=1)
    next(live_root(LOG, settings).rglob("*.parquet")).write_bytes(b"no Parquet")
    with pytest.raises(LabError, match="cannot be read"):
        check_retraining(DESIGN, settings)
