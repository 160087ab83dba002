"""The step `live` copies the log up to the start of the build and records until when it has data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eta_prediction.config import SMOKE
from eta_prediction.design import DESIGN
from eta_prediction.events.cuts import cut_of, live_root
from eta_prediction.events.live_history import cut_log, read_live_traversals
from infra.build.runner import StepContext
from infra.errors import LabError
from infra.live.kept_log import read_until
from infra.settings import Settings
from infra.simulation.streams import end_ts
from tests.support.eta_events import incident, quote, trip, upload, weather
from tests.unit.eta_prediction.events.test_live_history import write

END = end_ts(SMOKE.world)


def context_of(settings: Settings, out: Path, cut: str) -> StepContext:
    out.mkdir()
    return StepContext(DESIGN, settings, SMOKE, out, {}, lambda *_: None, cut=cut)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, preset="smoke")


def test_build_reads_the_events_of_its_cut_once(settings: Settings, tmp_path: Path) -> None:
    live = live_root(settings)
    later = upload(1, 0, END + 60)
    write(live, [later, quote(), trip(at_ts=END + 500.25), weather(END), incident()], [later])
    cut = cut_of(settings)
    write(live, [upload(2, 0, END + 900)])
    context = context_of(settings, tmp_path / "out", cut)
    facts = cut_log(context)
    assert facts == {"trips_events": 1, "traversals_events": 1, "incidents_events": 1, "weather_events": 1}
    assert read_live_traversals(context.out).trip_id.tolist() == [1]
    assert read_until(context.out) == END + 503, "the first whole second after the last event"
    assert json.loads((context.out / "live.json").read_text())["trips_events"] == 1


def test_build_without_live_events_ends_with_the_history(settings: Settings, tmp_path: Path) -> None:
    context = context_of(settings, tmp_path / "out", cut_of(settings))
    assert set(cut_log(context).values()) == {0}
    assert read_until(context.out) == END


def test_damaged_file_ends_the_build(settings: Settings, tmp_path: Path) -> None:
    write(live_root(settings), [upload()])
    (file,) = live_root(settings).rglob("*.parquet")
    file.write_bytes(b"no parquet")
    with pytest.raises(LabError, match="live log"):
        cut_log(context_of(settings, tmp_path / "out", cut_of(settings)))
