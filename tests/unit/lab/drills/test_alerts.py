"""A drill's report shows the alerts that fired during the drill, on the drill's clock."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lab.drills.alerts import FiredAlert, fired_during
from lab.drills.report import write_report
from tests.unit.lab.drills.test_drill import run

BEGAN, LASTED_S = 1000.0, 60.0


def row(name: str, starts: float, ends: float | None, **labels: str) -> dict[str, Any]:
    found = {"alertname": name, "severity": "page", **labels}
    return {"labels": found, "summary": f"{name} it is", "starts_ts": BEGAN + starts, "ends_ts": ends and BEGAN + ends}


def test_alerts_are_placed_on_the_clock_of_the_drill() -> None:
    rows = [
        row("During", 20, 40),
        row("Before", -50, -10),
        row("Into", -5, 10, design="feed"),
        row("Open", 30, None),
        row("After", 70, None),
        row("Late", 50, 90),
        row("Other", 20, 40, design="ads"),
    ]
    found = [(one.name, one.from_s, one.to_s) for one in fired_during(rows, "feed", BEGAN, LASTED_S)]
    assert found == [("Into", 0.0, 10.0), ("During", 20.0, 40.0), ("Open", 30.0, None), ("Late", 50.0, None)]


def test_report_draws_and_lists_the_alerts(tmp_path: Path) -> None:
    loud = run(alerts=[FiredAlert("FeatureStoreDown", "page", "no service can read it", 1.2, None)])
    page = write_report(tmp_path, loud, []).read_text()
    figure, _, lists = page.partition("</figure>")
    assert "FeatureStoreDown" in figure
    assert "<td>still firing</td>" in lists
