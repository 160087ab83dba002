"""The commands of the walk-throughs in `designs/debugging.md` find a planted cause, and nothing on a healthy build."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from feed_ranking.config import SMOKE
from feed_ranking.design import DESIGN
from feed_ranking.domain import RANDOM_POLICY
from feed_ranking.evaluation.live.candidates import candidates
from feed_ranking.events.schemas import Prediction
from feed_ranking.online.app import create_app
from feed_ranking.online.bootstrap import FeedBootstrap
from feed_ranking.online.cut import TOO_DEEP
from feed_ranking.online.service import FeedService
from infra.build.fingerprints import step_paths
from infra.evaluation.figures import read_figures
from infra.faults.planted import clear_planted, write_planted
from infra.faults.switch import FaultSwitch
from infra.prediction_log.results import Since
from infra.registry.release import CURRENT, Release
from infra.resilience.breaker import CircuitBreaker
from infra.resilience.bulkhead import Bulkhead
from infra.serving.shared import SharedParts
from infra.settings import REPOSITORY, Settings
from lab.cli import app
from tests.conftest import ENVIRONMENT, HOME
from tests.support.feed_predictions import ask, write_predictions
from tests.support.live_log import reaction, write_reactions
from tests.support.patience import PATIENT
from tests.support.releases import point_to
from tests.support.smoke_build import copy_home, start_build

USERS = 24
COPY = REPOSITORY / "var" / "plant"
BROKEN = 3
"""exit code of a check that found something"""


@pytest.fixture(scope="module")
def service(settings: Settings, release: Release) -> FeedService:
    """The served release in this process. Its answers do not depend on the file of planted causes."""
    return service_of(settings, release)


def service_of(settings: Settings, release: Release, **of_host: Any) -> FeedService:
    breaker, bulkhead = CircuitBreaker("feature_store", open_s=1.0), Bulkhead("feature_store", workers=1, queue=1)
    return FeedBootstrap(SharedParts(settings, breaker, bulkhead, FaultSwitch()), SMOKE, **of_host).load(release)


@pytest.fixture(scope="module")
def served(service: FeedService) -> list[Prediction]:
    return [ask(service, user, seed=1000 + user) for user in range(USERS)]


@pytest.fixture
def home(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The same build with its own live log and its own planted cause."""
    root = tmp_path / "smoke" / "feed_ranking"
    root.mkdir(parents=True)
    (root / CURRENT).write_text((settings.design_root("feed_ranking") / CURRENT).read_text())
    (tmp_path / "smoke" / "mlflow").symlink_to(settings.root / "mlflow")
    monkeypatch.setenv("LAB_HOME", str(tmp_path))
    monkeypatch.setenv("LAB_PRESET", "smoke")
    return settings.model_copy(update={"home": tmp_path})


def run(*words: str) -> tuple[int, Any]:
    """Exit code and parsed output of a lab command."""
    done = CliRunner().invoke(app, [*words, "feed_ranking", "--json"])
    return getattr(done.exception, "exit_code", done.exit_code), json.loads(done.stdout)


def by_id(*words: str) -> tuple[int, dict[str, Any]]:
    code, rows = run(*words)
    return code, {row["id"]: row for row in rows}


def react(home: Settings, predictions: Sequence[Prediction]) -> None:
    """Write the reactions to these slates: a click on every other place."""
    write_reactions(
        home.design_root("feed_ranking") / "live",
        "0",
        [
            reaction(
                slate_id=one.slate_id,
                user_id=one.user_id,
                post_id=one.post_ids[chosen],
                creator_id=one.creator_ids[chosen],
                position=place,
                clicked=place % 2 == 0,
                request_ts=one.request_ts,
            )
            for one in predictions
            for place, chosen in enumerate(one.chosen)
        ],
    )


@pytest.fixture
def logged(home: Settings, served: list[Prediction]) -> Settings:
    write_predictions(home.design_root("feed_ranking"), served)
    react(home, served)
    return home


def test_skew_command_names_the_leaking_feature_and_only_what_depends_on_it(logged: Settings) -> None:
    code, healthy = run("skew")
    assert (code, healthy["skews"], healthy["checked"]) == (0, [], USERS)
    write_planted(logged.design_root("feed_ranking"), "leak")
    code, found = run("skew")
    names = {one["feature"] for one in found["skews"]}
    assert code == BROKEN
    assert {"post_impressions_log", "post_clicks_log", "post_click_rate"} <= names
    assert all(name.startswith("post_") or "tower" in name or "post_worth" in name for name in names), names
    clear_planted(logged.design_root("feed_ranking"))
    assert run("skew")[0] == 0


def test_leak_needs_the_reactions_to_the_logged_slates(home: Settings, served: list[Prediction]) -> None:
    """A row without a label of its own has no leak: the counts differ by the last minutes of the history at most."""
    write_predictions(home.design_root("feed_ranking"), served)
    write_planted(home.design_root("feed_ranking"), "leak")
    without = {one["feature"]: one["share"] for one in run("skew")[1]["skews"]}
    react(home, served)
    with_labels = {one["feature"]: one["share"] for one in run("skew")[1]["skews"]}
    assert with_labels["post_clicks_log"] > without.get("post_clicks_log", 0.0)


def test_skew_command_names_the_feature_in_other_units(logged: Settings) -> None:
    write_planted(logged.design_root("feed_ranking"), "skew")
    code, found = run("skew")
    names = {one["feature"] for one in found["skews"]}
    assert code == BROKEN
    assert {"post_dwell_log", "creator_dwell_log"} <= names
    assert all(any(part in name for part in ("dwell", "worth", "bait", "tower")) for name in names), names


def test_candidates_command_finds_a_cut_that_is_too_deep(
    home: Settings, settings: Settings, release: Release, served: list[Prediction]
) -> None:
    root = home.design_root("feed_ranking")
    write_predictions(root, [*served, replace(served[0], policy=RANDOM_POLICY)])
    code, healthy = by_id("candidates")
    assert code == 0
    assert healthy["logged_value"]["value"] > 0.995
    assert healthy["logged_value"]["value"] == healthy["configured_value"]["value"]
    hasty = service_of(settings, release, of_host=lambda: TOO_DEEP)
    write_predictions(root, [ask(hasty, user, seed=1000 + user) for user in range(USERS)])
    code, found = by_id("candidates")
    assert code == BROKEN
    assert found["logged_recall"]["high"] < 0.9 < found["configured_recall"]["low"]
    assert found["logged_value"]["high"] < found["configured_value"]["low"]
    assert run("skew")[0] == run("replay")[0] == 0, "neither features nor scores are wrong"


def test_running_service_takes_the_shortcut_while_it_is_planted_and_says_nothing(
    release: Release, tmp_path: Path
) -> None:
    own = Settings(home=tmp_path / "own", preset="smoke", **PATIENT)
    point_to(own, release)
    root, body = own.design_root("feed_ranking"), {"user_id": 7, "seed": 1, "knobs": {"epsilon": 0.0}}

    def ranked(client: TestClient, **knobs: int) -> int:
        asked = {**body, "knobs": {"epsilon": 0.0, **knobs}}
        stages = client.post("/v1/feed?explain=true", json=asked).json()["trace"]
        return next(int(stage["count_out"]) for stage in stages if stage["stage"] == "rank")

    with TestClient(create_app(own)) as client:
        design = client.get("/v1/design").json()
        assert ranked(client) == SMOKE.rank.heavy_top_k
        write_planted(root, "shortcut")
        assert ranked(client) == TOO_DEEP["heavy_top_k"]
        assert ranked(client, heavy_top_k=50) == 50, "the knob of a request decides"
        assert client.get("/v1/design").json() == design
        assert "shortcut" not in client.get("/metrics").text
        write_planted(root, "leak")
        assert ranked(client) == SMOKE.rank.heavy_top_k
        clear_planted(root)
        assert ranked(client) == SMOKE.rank.heavy_top_k


def test_leak_raises_the_offline_auc_above_that_of_the_true_probabilities(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_home(HOME, COPY)
    planted = settings.model_copy(update={"home": COPY})
    before = step_paths(DESIGN, planted)
    healthy = {figure.id: figure for figure in read_figures(before["evaluate"])}
    monkeypatch.setenv("LAB_HOME", str(COPY))
    monkeypatch.setenv("LAB_PRESET", "smoke")
    assert CliRunner().invoke(app, ["plant", "feed_ranking", "leak"]).exit_code == 0
    built = start_build("feed_ranking", ENVIRONMENT | {"LAB_HOME": str(COPY)})
    said = built.communicate()[1]
    assert built.returncode == 0, said
    assert "leak" not in said
    found = {figure.id: figure for figure in read_figures(step_paths(DESIGN, planted)["evaluate"])}
    assert found["auc"].low > healthy["auc"].high
    assert found["auc"].value > found["auc_oracle"].value > healthy["auc"].value
    assert CliRunner().invoke(app, ["plant", "feed_ranking", "--clear"]).exit_code == 0
    assert step_paths(DESIGN, planted) == before
    assert all(path.exists() for path in before.values()), "a build after --clear trains nothing"


def test_candidates_of_other_pipelines_are_left_out(home: Settings, served: list[Prediction]) -> None:
    others = {
        "a slate of the randomised bucket has random candidates": replace(served[0], policy=RANDOM_POLICY),
        "degraded: light_ranker_unavailable": replace(served[1], degraded=["light_ranker_unavailable"]),
        "the user had no features": replace(served[2], embedding=[]),
        "the request chose its own candidates": replace(served[3], knobs={"heavy_top_k": 30}),
    }
    write_predictions(home.design_root("feed_ranking"), [*others.values(), replace(served[4], knobs={"epsilon": 0.0})])
    report = candidates(home, Since(), 100, lambda share, text: None)
    assert (report.rows, report.checked) == (5, 1)
    assert report.left_out == dict.fromkeys(others, 1)
