"""The monitor reads each file of the log once, and goes on where it was."""

import errno
import time
from pathlib import Path

import numpy as np
import pytest

from infra.errors import LabError, UsageError
from infra.settings import Settings
from infra.telemetry import timeline
from infra.telemetry.drift.alarms import CALIBRATION, FEWEST_GROUPS
from infra.telemetry.drift.state import FILE, State, folder_of, only_updater, read_state, status_of
from infra.telemetry.drift.status import read_status
from infra.telemetry.drift.update import update_drift
from infra.telemetry.drift.windows import ALL
from tests.support.drift_source import SEGMENTS, FakeDesign, FakeSource, release, write_log

USUAL, DESIGN = np.full(SEGMENTS, 0.08), FakeDesign()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    found = Settings(home=tmp_path, preset="smoke")
    release(found.design_root(DESIGN.name))
    return found


def grow(settings: Settings, minutes: range, rates=USUAL, requests: int = 300) -> State:
    """Write the log minute by minute, with a run of the monitor after each."""
    state = State()
    for minute in minutes:
        write_log(settings.design_root(DESIGN.name), np.random.default_rng(minute), minute, rates, requests)
        state = update_drift(DESIGN, settings)
    return state


def test_windows_hold_every_prediction_and_every_label_once(settings: Settings):
    state = grow(settings, range(5))
    assert [window.number for window, _ in state.windows] == list(range(5))
    assert [window.predictions for window, _ in state.windows] == [300] * 5
    assert sum(window.unmatched for window, _ in state.windows) == 0
    mature = [window.mature for window, _ in state.windows]
    assert 0 < mature[0] < 3000  # some requests of the last half minute are not mature yet
    assert sum(mature) > 4 * 3000
    assert all(window.labelled == window.mature for window, _ in state.windows)


def test_a_run_without_new_files_changes_nothing(settings: Settings):
    state = grow(settings, range(2))
    before = (folder_of(settings.design_root(DESIGN.name)) / FILE).read_bytes()
    assert update_drift(DESIGN, settings) == state
    assert (folder_of(settings.design_root(DESIGN.name)) / FILE).read_bytes() == before


def test_several_windows_of_files_become_as_many_windows_in_one_run(settings: Settings):
    for minute in range(4):
        write_log(settings.design_root(DESIGN.name), np.random.default_rng(minute), minute, USUAL)
    assert len(update_drift(DESIGN, settings).windows) == 4


def test_too_few_predictions_wait_for_more(settings: Settings):
    assert grow(settings, range(1), requests=200).windows == ()
    assert [window.predictions for window, _ in grow(settings, range(1, 2), requests=200).windows] == [400]


def test_a_shift_becomes_a_drift_in_the_status_and_in_the_timeline_and_ends_with_a_new_release(settings: Settings):
    root = settings.design_root(DESIGN.name)
    assert not grow(settings, range(5)).is_drifted
    state = grow(settings, range(5, 9), USUAL * 0.3)
    assert state.is_drifted
    assert state.drifted_from in (5, 6)
    assert {alarm.kind for alarm in state.reasons} >= {CALIBRATION}
    status = read_status(root)
    assert status.is_drifted
    assert status == status_of(state)
    assert status.calibration[ALL][0] < 0.5 * status.calibration[ALL][1]
    (entry,) = [one for one in timeline.read(settings, DESIGN.name) if one.kind == "drift"]
    assert "calibration" in entry.text

    release(root, 2)
    state = update_drift(DESIGN, settings)
    assert (state.model_version, state.is_drifted, state.inputs) == ("fake-smoke/2", False, ())
    assert len(state.windows) == 9  # windows of the old release stay for the report
    assert not read_status(root).is_drifted, "the alert ends with the release, not with its first window"


def test_the_same_model_under_another_version_begins_with_a_reference_of_its_own(settings: Settings):
    grow(settings, range(4))
    root = settings.design_root(DESIGN.name)
    release(root, 2, digest="digest1")
    state = update_drift(DESIGN, settings)
    assert (state.model_version, state.inputs) == ("fake-smoke/2", ())


def test_a_killed_run_leaves_the_last_complete_window(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    grow(settings, range(2))

    def broken(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("infra.telemetry.drift.update.write_state", broken)
        with pytest.raises(KeyboardInterrupt):
            grow(settings, range(2, 3))
    state = grow(settings, range(3, 4))
    assert [window.predictions for window, _ in state.windows] == [300] * 4
    assert sum(window.unmatched for window, _ in state.windows) == 0
    assert sum(window.mature for window, _ in state.windows) > 3 * 3000


def test_a_second_process_does_not_update_at_the_same_time(settings: Settings):
    state = grow(settings, range(1))
    write_log(settings.design_root(DESIGN.name), np.random.default_rng(1), 1, USUAL)
    with only_updater(settings.design_root(DESIGN.name)) as mine:
        assert mine
        assert update_drift(DESIGN, settings) == state
    assert len(update_drift(DESIGN, settings).windows) == 2


def test_files_from_before_the_release_are_not_read(settings: Settings):
    write_log(settings.design_root(DESIGN.name), np.random.default_rng(0), 0, USUAL)
    release(settings.design_root(DESIGN.name), 2, released_ts=4e9)
    assert update_drift(DESIGN, settings).windows == ()


def test_without_a_release_the_error_says_what_to_run(tmp_path: Path):
    with pytest.raises(UsageError):
        update_drift(DESIGN, Settings(home=tmp_path, preset="smoke"))


@pytest.mark.parametrize(("code", "message"), [(errno.ENOSPC, "is full"), (errno.EROFS, "cannot write under")])
def test_a_full_or_read_only_disk_is_a_clear_error_and_the_window_is_read_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, code: int, message: str
):
    def broken(*_: object) -> None:
        raise OSError(code, "no")

    grow(settings, range(1))
    with monkeypatch.context() as patched:
        patched.setattr("infra.telemetry.drift.update.write_state", broken)
        with pytest.raises(LabError, match=message):
            grow(settings, range(1, 2))
    assert [window.predictions for window, _ in update_drift(DESIGN, settings).windows] == [300, 300]


def test_a_damaged_state_is_an_empty_one(settings: Settings):
    grow(settings, range(1))
    (folder_of(settings.design_root(DESIGN.name)) / FILE).write_text("{")
    assert read_state(settings.design_root(DESIGN.name)) == State()


def test_windows_without_mature_labels_are_no_reference_of_the_outcomes(settings: Settings):
    state = grow(settings, range(1))
    window = state.windows[0][0]
    assert (len(state.inputs), len(state.outcomes)) == (1, int(window.loss[ALL].groups >= FEWEST_GROUPS))


def newest_file(settings: Settings, folder: str) -> Path:
    return max(
        (settings.design_root(DESIGN.name) / "live" / folder).rglob("part-*.parquet"), key=lambda file: file.name
    )


@pytest.mark.parametrize("folder", ["predictions", "labels"])
def test_a_damaged_file_is_left_out_and_named_and_the_other_files_are_read(settings: Settings, folder: str):
    root = settings.design_root(DESIGN.name)
    write_log(root, np.random.default_rng(0), 0, USUAL)
    damaged = newest_file(settings, folder)
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[: len(whole) // 2])
    time.sleep(0.01)
    state = grow(settings, range(1, 4))
    predictions = [300] * (3 if folder == "predictions" else 4)
    assert [window.predictions for window, _ in state.windows] == predictions
    name = damaged.relative_to(root / "live").as_posix()
    assert state.damaged == read_status(root).damaged == (name,), "counted once, by every later run as well"
    damaged.unlink()
    assert update_drift(DESIGN, settings).damaged == ()


def test_a_log_of_damaged_files_only_is_reported(settings: Settings):
    root = settings.design_root(DESIGN.name)
    write_log(root, np.random.default_rng(0), 0, USUAL)
    newest_file(settings, "predictions").write_bytes(b"PAR1 is how a Parquet file begins")
    assert len(update_drift(DESIGN, settings).windows) == 0
    assert len(read_status(root).damaged) == 1


def test_an_event_of_other_code_is_left_out_and_named(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    usual = FakeSource.observe

    def observe(self, tables):
        if "labels" in tables:
            raise LabError("another version")
        return usual(self, tables)

    monkeypatch.setattr(FakeSource, "observe", observe)
    state = grow(settings, range(2))
    assert [window.predictions for window, _ in state.windows] == [300, 300]
    assert [name.partition("/")[0] for name in state.damaged] == ["labels", "labels"]


def later(state: State, seconds: float) -> int:
    """A present `seconds` after the state's next run is due."""
    return int((state.due_at + seconds) * 1e9)


def test_units_that_mature_after_the_last_request_make_a_last_window_when_they_are_due(settings: Settings):
    state = grow(settings, range(5))
    mature = sum(window.mature for window, _ in state.windows)
    assert 0 < state.due_at - time.time() < 40, "30 s after the last request"
    early = update_drift(DESIGN, settings, now_ns=later(state, -1))
    assert (len(early.windows), early.due_at) == (5, state.due_at)
    last = update_drift(DESIGN, settings, now_ns=later(state, 1))
    assert [window.number for window, _ in last.windows] == list(range(6))
    window, alarms = last.windows[-1]
    assert (window.predictions, window.mature + mature, window.labelled) == (0, 5 * 3000, window.mature)
    assert (alarms, last.due_at, read_status(settings.design_root(DESIGN.name)).due_at) == ((), 0.0, 0.0)
    assert update_drift(DESIGN, settings, now_ns=later(last, 1000)).windows == last.windows


def test_a_last_window_confirms_a_drift(settings: Settings):
    state = grow(settings, range(5))
    state = grow(settings, range(5, 6), USUAL * 0.3)
    assert not state.is_drifted
    assert update_drift(DESIGN, settings, now_ns=later(state, 1)).is_drifted


def test_units_whose_labels_ended_with_the_requests_go_on_waiting(settings: Settings):
    state = grow(settings, range(4))
    write_log(settings.design_root(DESIGN.name), np.random.default_rng(4), 4, USUAL)
    newest_file(settings, "labels").unlink()
    state = update_drift(DESIGN, settings)
    windows = len(state.windows)
    state = update_drift(DESIGN, settings, now_ns=later(state, 1))
    assert (len(state.windows), state.due_at) == (windows, 0.0)


def test_too_few_predictions_for_a_window_are_due_at_the_end_of_its_time(settings: Settings):
    state = grow(settings, range(1), requests=200)
    assert 0 < state.due_at - time.time() < 3600
    state = update_drift(DESIGN, settings, now_ns=later(state, 1))
    assert [window.predictions for window, _ in state.windows] == [200, 0], "by then, the last units are mature as well"
