"""The worker's counters add up to the error, the bias and the coverage of each slice."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from eta_prediction.worker.driver_log import Arrival, Expected
from eta_prediction.worker.metrics import SLICE, OnlineMetrics
from tests.support.eta_events import quote, trip


def arrival(seconds: float, ride_type: int = 0, traffic: str = "live", **changes: bool) -> Arrival:
    expected = Expected(
        0.0, 500.0, 60.0, 40.0, (540.0, 600.0, 720.0), ride_type, traffic,
        changes.get("is_busy", False), changes.get("is_rainy", False),
    )  # fmt: skip
    return Arrival(seconds, expected)


def sums(registry: CollectorRegistry, **labels: str) -> dict[str, float]:
    """The sums over the slices with `labels`, by name of the counter."""
    names = ("judged_trips", "error_minutes", "predicted_minutes", "actual_minutes", "covered_trips")
    found = dict.fromkeys(names, 0.0)
    for family in registry.collect():
        for sample in family.samples:
            name = sample.name.removeprefix("lab_online_").removesuffix("_total")
            if name in found and labels.items() <= sample.labels.items():
                assert set(sample.labels) == set(SLICE)
                found[name] += sample.value
    return found


def test_arrived_trips_count_in_their_slice() -> None:
    registry = CollectorRegistry()
    metrics = OnlineMetrics(registry)
    metrics.judge([arrival(660.0), arrival(480.0, is_busy=True), arrival(900.0, 1, "static", is_rainy=True)])
    assert sums(registry) == {
        "judged_trips": 3, "error_minutes": 8, "predicted_minutes": 30, "actual_minutes": 34, "covered_trips": 1
    }  # fmt: skip
    for labels, trips, error_min, covered in (
        ({"ride_type": "standard"}, 2, 3, 1),
        ({"ride_type": "pooled", "traffic": "static", "weather": "rain"}, 1, 5, 0),
        ({"hours": "busy"}, 1, 2, 0),
        ({"ride_type": "airport"}, 0, 0, 0),
    ):
        found = sums(registry, **labels)
        assert (found["judged_trips"], found["error_minutes"], found["covered_trips"]) == (trips, error_min, covered)


def test_every_slice_is_exported_before_its_first_trip() -> None:
    registry = CollectorRegistry()
    OnlineMetrics(registry)
    samples = [sample.name for family in registry.collect() for sample in family.samples]
    assert samples.count("lab_online_judged_trips_total") == 3 * 2 * 2 * 2


def test_quotes_and_trips_count_by_model_and_status() -> None:
    registry = CollectorRegistry()
    metrics = OnlineMetrics(registry)
    metrics.count_quotes([quote(1), quote(2), quote(3, model="corrected_route")])
    metrics.count_trips([trip(1), trip(2, status="teleported")])

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"lab_online_{name}_total", labels)

    assert (value("quotes", model="network_live"), value("quotes", model="corrected_route")) == (2, 1)
    assert (value("trips", status="arrived"), value("trips", status="other")) == (1, 1)
