"""The table shows the error, the pinball loss and the coverage of all three predictors, with intervals."""

from __future__ import annotations

import numpy as np
import pytest

from eta_prediction.domain import Array
from eta_prediction.offline.trip_files.measure import ROWS, TEXTS, figures_of, pinball, table_of
from eta_prediction.offline.trip_files.tally import Tally
from eta_prediction.offline.trip_files.trip_models.inputs import Correction
from eta_prediction.offline.trip_files.trip_models.learn import Learned
from eta_prediction.offline.trip_files.trips import Trips, read_trips
from infra.build.trip_files import TripFiles
from tests.support.trip_files import taxi_lines, write

NO_CORRECTION = Correction(0.0, 1.0, np.ones(168), np.zeros(0), np.ones(1))


@pytest.fixture(scope="module")
def trips(tmp_path_factory: pytest.TempPathFactory) -> Trips:
    path = write(tmp_path_factory.mktemp("trips") / "trips.csv", taxi_lines(400))
    return read_trips(TripFiles.of(f"taxi:{path}"), lambda share, text: None, Tally())


def around(middle: Array, half_width: float) -> Array:
    return np.stack([middle - half_width, middle, middle + half_width], axis=1)


def learned(model: Array, plain: Array, route: Array) -> Learned:
    return Learned(model, plain, route, NO_CORRECTION, {})


def test_figures_measure_each_predictor_on_the_same_trips(trips: Trips) -> None:
    truth = trips.seconds
    found = {
        figure.id: figure.value
        for figure in figures_of(trips, learned(around(truth + 10, 20), around(truth - 20, 5), around(truth, 0)))
    }
    assert [found[f"mae_{name}"] for name in TEXTS] == pytest.approx([10, 20, 0])
    assert [found[f"median_error_{name}"] for name in TEXTS] == pytest.approx([10, 20, 0])
    assert [found[f"bias_{name}"] for name in TEXTS] == pytest.approx([10, -20, 0])
    assert [found[f"coverage_{name}"] for name in TEXTS] == pytest.approx([1, 0, 1])
    # P10 is 10 s too low, P50 10 s too high, P90 30 s too high
    assert found["pinball_model"] == pytest.approx((0.1 * 10 + 0.5 * 10 + 0.1 * 30) / 3)
    assert found["mae_over_plain"] == pytest.approx(0.5)
    assert "mae_over_route" not in found, "no error to divide by"


def test_table_has_a_column_per_predictor_and_every_figure(trips: Trips) -> None:
    truth = trips.seconds
    predicted = learned(around(truth + 10, 20), around(truth - 20, 5), around(truth, 0))
    figures = figures_of(trips, predicted)
    table = table_of(figures)
    assert table.columns[1:] == ("route and model", "LightGBM without the route", "corrected route")
    cells = {row[0]: row[1:] for row in table.rows}
    assert cells["mean absolute error"][:2] == ("10.0 s (10.0 to 10.0)", "20.0 s (20.0 to 20.0)")
    assert cells["error of route and model / this one's"] == ("", "0.500 (0.500 to 0.500)", "")
    assert cells["trips within P10 to P90 (80% is right)"][0] == "100% (100 to 100)"
    shown = {f"{start}_{name}" for start, *_ in ROWS for name in TEXTS}
    assert {figure.id for figure in figures} <= shown


def test_pinball_loss_is_least_at_the_true_quantiles() -> None:
    truth = np.random.default_rng(0).exponential(100, 20_000)
    best = np.quantile(truth, (0.1, 0.5, 0.9))
    losses = [pinball(truth, np.tile(best * (1 + change), (len(truth), 1))).mean() for change in (-0.2, 0.0, 0.2)]
    assert losses[1] < min(losses[0], losses[2])
