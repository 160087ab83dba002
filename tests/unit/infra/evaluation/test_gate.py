"""The gate refuses a challenger that loses part of the champion's gain, and ignores the rounding of another machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from infra.evaluation.gate import NEGLIGIBLE, Comparison, GateRefused, check_gate, judge_challenger
from infra.registry.mlflow_registry import MlflowRegistry
from infra.registry.port import ModelVersion
from infra.training.click_metrics import log_loss_rows

CHAMPION = ModelVersion("ads", 3, "digest", {})


class Anywhere:
    """A registry whose versions need no download."""

    def fetch(self, model: ModelVersion, to: Path) -> Path:
        return to


class Recorded(Anywhere):
    """A registry that keeps aliases and verdicts."""

    def __init__(self) -> None:
        self.aliases: dict[str, int] = {}
        self.verdicts: dict[int, str] = {}

    def by_alias(self, name: str, alias: str) -> ModelVersion | None:
        return ModelVersion(name, self.aliases[alias], "digest", {}) if alias in self.aliases else None

    def set_alias(self, name: str, alias: str, version: int) -> None:
        self.aliases[alias] = version

    def set_verdict(self, name: str, version: int, verdict: str) -> None:
        self.verdicts[version] = verdict


def check(clicked: np.ndarray, champion: np.ndarray, challenger: np.ndarray, tmp_path: Path) -> str:
    comparison = Comparison(clicked, np.arange(len(clicked)), lambda path, digest: champion, "rows")
    return check_gate(comparison, challenger, CHAMPION, cast(MlflowRegistry, Anywhere()), tmp_path)


def test_rounding_passes_and_a_lost_share_of_the_gain_does_not(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    champion = np.where(rng.random(20_000) < 0.5, 0.05, 0.4)
    clicked = (rng.random(20_000) < champion).astype(np.float64)
    mean = clicked.mean()
    gain = (log_loss_rows(clicked, np.full_like(clicked, mean)) - log_loss_rows(clicked, champion)).mean()

    def blunted(share: float) -> np.ndarray:
        """Predictions that lie towards 0 where there was a click and towards 1 where there was none."""
        return champion + share * np.where(clicked == 1, -champion, 1 - champion)

    for share, passes in ((1e-7, True), (1e-2, False)):
        challenger = blunted(share)
        lost = (log_loss_rows(clicked, challenger) - log_loss_rows(clicked, champion)).mean() / gain
        assert lost > 0
        assert bool(lost < NEGLIGIBLE) == passes
        if passes:
            assert "not worse than champion 3" in check(clicked, champion, challenger, tmp_path)
        else:
            with pytest.raises(GateRefused, match="worse than champion 3: log loss"):
                check(clicked, champion, challenger, tmp_path)


def test_gate_names_each_challenger_keeps_its_verdict_and_leaves_the_champion(tmp_path: Path) -> None:
    told: list[tuple[str, str, Any]] = []
    rng = np.random.default_rng(1)
    good = np.where(rng.random(5_000) < 0.5, 0.05, 0.4)
    clicked = (rng.random(5_000) < good).astype(np.float64)
    registry, comparison = Recorded(), Comparison(clicked, np.arange(5_000), lambda path, digest: good, "rows")

    def try_version(version: int, p: np.ndarray) -> None:
        judge_challenger(
            {"name": "ads", "version": version},
            comparison,
            p,
            cast(MlflowRegistry, registry),
            tmp_path,
            lambda kind, text, **facts: told.append((kind, text, facts)),
        )

    try_version(1, good)
    assert registry.aliases == {"challenger": 1}
    with pytest.raises(GateRefused):
        try_version(2, good[::-1])
    assert registry.aliases == {"challenger": 2}
    assert registry.verdicts[1].startswith("passed: first model")
    assert registry.verdicts[2].startswith("refused: the model is not better than")
    assert [(kind, facts) for kind, _, facts in told] == [("gate", {"version": 1}), ("gate", {"version": 2})]
    assert told[0][1].startswith("model version 1 passes: first model")
    assert told[1][1].startswith("model version 2 is refused: the model is not better than")


def on_fresh_rows(history: float, fresh: float, groups: int, tmp_path: Path) -> str:
    """The verdict on a challenger whose predictions lie by `history` closer to the clicks of the history than the
    champion's, and by `fresh` closer to the fresh clicks."""
    rng = np.random.default_rng(2)

    def rows(count: int, better: float) -> tuple[Comparison, np.ndarray]:
        champion = np.where(rng.random(count) < 0.5, 0.1, 0.4)
        clicked = (rng.random(count) < champion).astype(np.float64)
        challenger = champion + better * (clicked - champion)
        return Comparison(clicked, np.arange(count) % groups, lambda path, digest: champion, "rows"), challenger

    (comparison, p), newest = rows(20_000, history), rows(2_000, fresh)
    return check_gate(comparison, p, CHAMPION, cast(MlflowRegistry, Anywhere()), tmp_path, newest)


def test_a_sure_difference_on_fresh_rows_decides_whatever_the_history_says(tmp_path: Path) -> None:
    assert "better than champion 3 on 2,000 fresh rows" in on_fresh_rows(-0.02, 0.1, 500, tmp_path)
    with pytest.raises(GateRefused, match="worse than champion 3 on 2,000 fresh rows"):
        on_fresh_rows(0.02, -0.1, 500, tmp_path)


def test_equal_models_and_few_fresh_rows_leave_the_decision_to_the_history(tmp_path: Path) -> None:
    with pytest.raises(GateRefused, match="worse than champion 3: log loss"):
        on_fresh_rows(-0.02, 0.0, 500, tmp_path)
    with pytest.raises(GateRefused, match="worse than champion 3: log loss"):
        on_fresh_rows(-0.02, 0.1, 20, tmp_path)
    assert "not worse than champion 3" in on_fresh_rows(0.0, 0.0, 500, tmp_path)
