"""Units wait for their maturity, and labels for their unit."""

from pathlib import Path

import numpy as np

from infra.telemetry.drift.observed import Labels, Units
from infra.telemetry.drift.waiting import Waiting

NOTHING = Labels(np.zeros(0, np.int64), np.zeros(0))


def units(*ids: int, mature_ts: float = 30.0) -> Units:
    n = len(ids)
    numbers = np.array(ids, np.int64)
    return Units(
        numbers, np.full(n, mature_ts), numbers, numbers[:, None] * 0, np.full((n, 1), 0.1), np.full(n, np.nan)
    )


def labels(*pairs: tuple[int, float]) -> Labels:
    return Labels(np.array([one for one, _ in pairs], np.int64), np.array([value for _, value in pairs]))


def nothing() -> Waiting:
    return Waiting(Units.none(1), NOTHING)


def test_a_unit_comes_out_when_it_is_mature_with_its_label():
    mature, waiting, lost = nothing().step(units(3, 1), labels((1, 1.0)), now_ts=10.0)
    assert (len(mature), lost) == (0, 0)
    mature, waiting, lost = waiting.step(Units.none(1), labels((3, 0.0)), now_ts=30.0)
    assert dict(zip(mature.id.tolist(), mature.actual.tolist(), strict=True)) == {3: 0.0, 1: 1.0}
    assert len(waiting.units) == 0


def test_of_several_labels_the_largest_counts_in_any_order():
    for order in ([(1, 0.0), (1, 1.0)], [(1, 1.0), (1, 0.0)]):
        mature, _, _ = nothing().step(units(1), labels(*order), now_ts=99.0)
        assert mature.actual.tolist() == [1.0]


def test_a_label_waits_for_one_window_for_its_unit_and_is_then_given_up():
    _, waiting, lost = nothing().step(units(1), labels((7, 1.0), (8, 1.0)), now_ts=0.0)
    assert (len(waiting.labels.id), lost) == (2, 0)
    mature, waiting, lost = waiting.step(units(7), NOTHING, now_ts=99.0)
    assert dict(zip(mature.id.tolist(), mature.actual.tolist(), strict=True))[7] == 1.0
    assert (len(waiting.labels.id), lost) == (0, 1)


def test_what_waits_survives_the_file_and_other_files_are_ignored(tmp_path: Path):
    _, waiting, _ = nothing().step(units(1, 2), labels((2, 1.0), (9, 0.0)), now_ts=0.0)
    waiting.write(tmp_path / "waiting.npz")
    again = Waiting.read(tmp_path / "waiting.npz", Units.none(1))
    np.testing.assert_array_equal(again.units.actual, waiting.units.actual)
    assert again.labels.id.tolist() == [9]
    assert (
        len(Waiting.read(tmp_path / "waiting.npz", Units.none(3)).units) == 0
    )  # another width: the design has changed
    (tmp_path / "waiting.npz").write_bytes(b"x")
    assert len(Waiting.read(tmp_path / "waiting.npz", Units.none(1)).units) == 0
    assert len(Waiting.read(tmp_path / "absent.npz", Units.none(1)).units) == 0
