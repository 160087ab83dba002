"""No alarm without a change, and an alarm for each planted change."""

from dataclasses import replace

import numpy as np
import pytest

from infra.evaluation.drift_config import DriftConfig
from infra.telemetry.drift.alarms import (
    CALIBRATION,
    ERRORS,
    INPUT,
    LABELS,
    LOSS,
    QUALITY,
    UNKNOWN_SHARE,
    Alarm,
    alarms_of,
    drifted_since,
    sure_change,
    wording,
)
from infra.telemetry.drift.windows import ALL, Sums, window_of
from tests.support.drift_source import SEGMENTS, FakeSource, log_of

CONFIG, USUAL = DriftConfig(), np.full(SEGMENTS, 0.08)
REFERENCE = 3


def windows(
    rng: np.random.Generator, count: int, rates=USUAL, x_mean: float = 0.0, first: int = 0, requests: int = 300
):
    found, source = [], FakeSource()
    for number in range(first, first + count):
        predictions, labels = log_of(rng, 1000 * number, requests, 60.0 * number, rates, x_mean)
        observed = source.observe({"predictions": predictions})
        observed.units.actual[:] = labels["clicked"].to_numpy()
        found.append(window_of(source, observed, observed.units, number, 60.0 * number, 0))
    return found


def judged(all_windows):
    """The windows after the reference with their alarms."""
    reference, rest = all_windows[:REFERENCE], all_windows[REFERENCE:]
    errors = [error for window in reference for error in window.errors]
    found = []
    for window in rest:
        errors = errors + window.errors
        found.append((window, alarms_of(window, reference, reference, errors, CONFIG)))
    return found


@pytest.mark.parametrize("seed", range(3))
def test_of_a_hundred_windows_without_a_change_at_most_five_alarm_and_none_is_a_drift(seed):
    found = judged(windows(np.random.default_rng(seed), REFERENCE + 100))
    assert sum(bool(alarms) for _, alarms in found) <= 5
    assert all(drifted_since(found[: end + 1], CONFIG.drift_confirm) is None for end in range(len(found)))


@pytest.mark.parametrize("seed", range(5))
def test_click_rates_that_halve_in_two_segments_are_a_drift_within_three_windows(seed):
    rng = np.random.default_rng(100 + seed)
    rates = USUAL.copy()
    rates[:2] *= 0.5
    before = windows(rng, REFERENCE + 4, requests=1000)
    found = judged([*before, *windows(rng, 3, rates, first=REFERENCE + 4, requests=1000)])
    since = drifted_since(found, CONFIG.drift_confirm)
    assert since is not None
    number, reasons = since
    assert number >= REFERENCE + 4
    assert {"s0", "s1"} & {alarm.name for alarm in reasons}
    assert not {alarm.name for alarm in reasons} - {"s0", "s1", ALL}


def test_more_clicks_everywhere_raise_the_calibration_the_loss_and_the_error_stream():
    rng = np.random.default_rng(7)
    found = judged([*windows(rng, REFERENCE + 2), *windows(rng, 3, USUAL * 2.5, first=REFERENCE + 2)])
    kinds = {alarm.kind for _, alarms in found[-3:] for alarm in alarms if alarm.name == ALL}
    assert {CALIBRATION, LOSS, ERRORS} <= kinds


def test_a_moved_input_is_an_alarm_but_no_drift():
    rng = np.random.default_rng(8)
    found = judged([*windows(rng, REFERENCE + 1), *windows(rng, 3, x_mean=1.0, first=REFERENCE + 1)])
    assert [alarm.name for alarm in found[-1][1] if alarm.kind == INPUT] == ["x"]
    assert drifted_since(found, CONFIG.drift_confirm) is None


def test_unknown_users_and_missing_labels_are_alarms():
    *reference, window = windows(np.random.default_rng(9), REFERENCE + 1)
    broken = replace(window, unknown=60, labelled=window.mature // 2)
    alarms = alarms_of(broken, reference, reference, [], CONFIG)
    assert {alarm.kind for alarm in alarms} == {UNKNOWN_SHARE, LABELS}
    assert not {alarm.kind for alarm in alarms} & set(QUALITY)


def test_a_window_with_missing_labels_says_nothing_about_the_model():
    rng = np.random.default_rng(9)
    *reference, window = [*windows(rng, REFERENCE), *windows(rng, 1, USUAL * 2.5, first=REFERENCE)]
    assert {alarm.kind for alarm in alarms_of(window, reference, reference, [], CONFIG)} & set(QUALITY)
    broken = replace(window, labelled=window.mature // 2)
    assert {alarm.kind for alarm in alarms_of(broken, reference, reference, [], CONFIG)} == {LABELS}


def test_a_unit_counts_in_each_of_its_segments():
    source = FakeSource()
    predictions, labels = log_of(np.random.default_rng(11), 0, 40, 0.0, USUAL)
    observed = source.observe({"predictions": predictions})
    observed.units.actual[:] = labels["clicked"].to_numpy()
    segment = np.stack([observed.units.segment[:, 0] % 2, np.where(observed.units.id % 3, -1, 7)], axis=1)
    window = window_of(source, observed, replace(observed.units, segment=segment), 0, 0.0, 0)
    expected = {"s0": 200, "s1": 200, "s7": np.count_nonzero(observed.units.id % 3 == 0), ALL: 400}
    assert {name: sums.below for name, sums in window.loss.items() if sums.groups} == expected


def test_a_segment_without_a_click_is_no_change_if_few_clicks_were_expected():
    quiet = Sums(0.0, 1.0, 0.0, 0.0, 0.03, 40)
    assert sure_change(quiet, Sums(3.0, 3.0, 3.0, 0.3, 0.09, 120)) is None
    busy = Sums(0.0, 60.0, 0.0, 0.0, 60.0 * 60 / 300, 300)
    assert sure_change(busy, Sums(180.0, 180.0, 400.0, 200.0, 180.0, 900)) == 0.0


def test_a_drift_needs_the_same_alarm_in_successive_windows():
    plain = windows(np.random.default_rng(10), 3)
    one, other = Alarm(CALIBRATION, "s1", 0.4, 0.8), Alarm(CALIBRATION, "s2", 0.4, 0.8)
    assert drifted_since([(plain[0], [one]), (plain[1], [other])], 2) is None
    assert drifted_since([(plain[0], [one]), (plain[1], []), (plain[2], [one])], 2) is None
    assert drifted_since([(plain[0], [one]), (plain[1], [one, other]), (plain[2], [one])], 2) == (0, [one])
    empty = replace(plain[1], loss={ALL: Sums()})
    assert drifted_since([(plain[0], [one]), (empty, []), (plain[2], [one])], 2) == (0, [one])


def test_an_alarm_as_text_names_the_figure_and_the_reference():
    assert wording(Alarm(CALIBRATION, "topic 3", 0.41, 0.783)) == "calibration of topic 3: 0.41, reference 0.783"
    assert wording(Alarm(LOSS, ALL, 0.5, 0.25)) == "loss: 0.5, reference 0.25"
    assert wording(Alarm(INPUT, "x", 0.3, 0.0)) == "input x moved: PSI 0.30"
