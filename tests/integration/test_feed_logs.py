"""Replay and skew confirm served predictions and features, and name a change that affects only one side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from feed_ranking.config import SMOKE
from feed_ranking.domain import RANDOM_POLICY, STATS
from feed_ranking.evaluation.live import recompute
from feed_ranking.evaluation.live.recompute import FeatureRecount
from feed_ranking.evaluation.live.replay import replay
from feed_ranking.evaluation.live.skew import skew
from feed_ranking.evaluation.player import FeedPlayer
from feed_ranking.events.history import EventLog
from feed_ranking.events.paths import end_of_log
from feed_ranking.events.schemas import Prediction
from feed_ranking.features import aggregates
from feed_ranking.features.aggregates import activity_at, creator_stats_at
from feed_ranking.features.views import open_store
from feed_ranking.items.catalog import NewPost
from feed_ranking.items.live_counts import COUNTED, LiveStats
from feed_ranking.model.inputs import item_names
from feed_ranking.online.bootstrap import FeedBootstrap
from feed_ranking.online.service import FeedService
from infra.errors import UsageError
from infra.faults.switch import FaultSwitch
from infra.feature_store.port import FeatureRow
from infra.prediction_log.results import Compared, Replayed, Since, parse_since
from infra.registry.release import CURRENT, Release
from infra.resilience.breaker import CircuitBreaker
from infra.resilience.bulkhead import Bulkhead
from infra.serving.shared import SharedParts
from infra.settings import Settings
from lab.cli import app
from tests.support.feed_predictions import ask, write_predictions
from tests.support.live_log import reaction, write_posts, write_reactions

ALL = Since()


def quiet(share: float, text: str) -> None:
    assert 0 <= share <= 1


@pytest.fixture(scope="module")
def player(settings: Settings) -> FeedPlayer:
    current = json.loads((settings.design_root("feed_ranking") / CURRENT).read_text())
    return FeedPlayer(Path(current["release"]), SMOKE, settings)


@pytest.fixture(scope="module")
def served(player: FeedPlayer) -> list[Prediction]:
    """Plain requests, an unknown user, changed knobs, the second page of a session, and a random slate."""
    service = player.service
    first = [ask(service, user, seed=100 + user) for user in range(8)]
    turned = {
        "dwell_weight": 0.5,
        "click_weight": 3,
        "creator_cap": 1,
        "epsilon": 0.5,
        "repeat_discount": 0.5,
        "ads": 0,
    }
    return [
        *first,
        ask(service, 999_999, seed=1),
        ask(service, 3, seed=2, knobs=turned),
        ask(service, 4, seed=3, knobs={"heavy_top_k": 0}),
        ask(service, 5, seed=4, seen=[first[5].post_ids[place] for place in first[5].chosen]),
        ask(service, 6, seed=5, policy=RANDOM_POLICY),
    ]


@pytest.fixture
def home(settings: Settings, tmp_path: Path) -> Settings:
    """The same build with its own live log."""
    root = tmp_path / "smoke" / "feed_ranking"
    root.mkdir(parents=True)
    (root / CURRENT).write_text((settings.design_root("feed_ranking") / CURRENT).read_text())
    (tmp_path / "smoke" / "mlflow").symlink_to(settings.root / "mlflow")
    return settings.model_copy(update={"home": tmp_path})


def replayed(home: Settings, predictions: Sequence[Prediction], since: Since = ALL, limit: int = 1000) -> Replayed:
    write_predictions(home.design_root("feed_ranking"), predictions)
    return replay(home, since, limit, quiet)


def compared(home: Settings, predictions: Sequence[Prediction]) -> Compared:
    write_predictions(home.design_root("feed_ranking"), predictions)
    return skew(home, ALL, 200, quiet)


def test_end_of_log_is_the_last_request_time(home: Settings, served: list[Prediction]) -> None:
    """A restarted world continues after this time. A repeated minute would give `skew` two states of the same time."""
    root = home.design_root("feed_ranking")
    assert end_of_log(root / "live") == 0
    write_predictions(root, served)
    assert end_of_log(root / "live") == pytest.approx(max(one.request_ts for one in served), abs=1e-3)


def test_live_counts_with_a_future_time_are_ignored(settings: Settings, release: Release) -> None:
    breaker, bulkhead = CircuitBreaker("feature_store", open_s=1.0), Bulkhead("feature_store", workers=1, queue=1)
    bootstrap = FeedBootstrap(SharedParts(settings, breaker, bulkhead, FaultSwitch()), SMOKE)
    service = bootstrap.load(release)
    built_ts, ids = service.catalogue.view.stats_ts, service.catalogue.snapshot.post_id[:3]

    def counts(stats_ts: float) -> LiveStats:
        posts, creators = np.zeros((3, len(COUNTED)), np.float32), service.catalogue.view.creator_stats
        return LiveStats(stats_ts, np.asarray(ids), posts, creators, np.stack([np.asarray(ids)] * 5))

    bootstrap.count(service, counts(service.clock.now() + 300))
    assert service.catalogue.view.stats_ts == built_ts
    now = service.clock.now()
    bootstrap.count(service, counts(now))
    assert service.catalogue.view.stats_ts == now


def test_replay_reproduces_every_prediction(home: Settings, served: list[Prediction]) -> None:
    done = replayed(home, served)
    assert (done.rows, done.checked, done.differing) == (len(served), len(served), 0), done.differences
    assert list(done.models) == [served[0].model_version]


def test_replay_names_each_changed_field(home: Settings, served: list[Prediction]) -> None:
    last = np.nextafter(np.float32(served[0].scores[7]), np.float32(1e9))
    scores = [*served[0].scores[:7], float(last), *served[0].scores[8:]]
    counts = {**served[1].features, "counts_long": [1e3] * 6}
    wrong = [
        replace(served[0], scores=scores),
        replace(served[1], features=counts),
        replace(served[2], chosen=served[2].chosen[::-1]),
        replace(served[12], policy="ranked_v1"),
        served[3],
    ]
    done = replayed(home, wrong)
    moved = {(one.prediction, one.field) for one in done.differences}
    assert {("100", "scores"), ("101", "embedding"), ("102", "chosen"), ("5", "chosen")} <= moved
    assert done.differing == 4
    assert next(one.how for one in done.differences if one.field == "scores").startswith("1 of ")


def test_replay_detects_a_changed_slate_policy(
    home: Settings, served: list[Prediction], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("feed_ranking.model.slate_policy.FRESH_HALF_LIFE_H", 1.0)
    fresh = [one for one in served if one.policy != RANDOM_POLICY]
    assert {one.field for one in replayed(home, fresh).differences} >= {"chosen"}


def test_replay_counts_left_out_predictions_by_reason(home: Settings, served: list[Prediction]) -> None:
    gone = replace(served[1], model_digest="0" * 64, model_version="feed_ranking-smoke/977")
    other = replace(served[2], model_digest="0" * 63 + "1", model_version="feed_ranking-smoke/1")
    done = replayed(
        home,
        [served[0], replace(served[3], degraded=["heavy_ranker_unavailable"], scores=[1.0]), gone, other],
    )
    assert (done.checked, done.differing) == (1, 0)
    assert done.left_out == {
        "heavy_ranker_unavailable": 1,
        "model feed_ranking-smoke/977 is no longer available: the registry has no such version": 1,
        "model feed_ranking-smoke/1 is no longer available: the registry has different files for it": 1,
    }


def test_replay_fetches_an_older_model_version_from_the_registry(
    home: Settings, served: list[Prediction], release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = replace(release, model_digest="f" * 64, model_path="/nowhere")
    monkeypatch.setattr("feed_ranking.evaluation.live.replay.read_release", lambda root: newer)
    done = replayed(home, served[:3])
    assert (done.checked, done.differing, done.left_out) == (3, 0, {})
    assert list((home.design_root("feed_ranking") / "models").iterdir())


def test_replay_since_and_limit_select_the_newest_predictions(home: Settings, served: list[Prediction]) -> None:
    spread = [replace(one, request_ts=served[0].request_ts + 60 * at) for at, one in enumerate(served[:8])]
    write_predictions(home.design_root("feed_ranking"), spread)
    newest = spread[-1].request_ts
    assert replay(home, parse_since("2m"), 100, quiet).rows == 3
    assert replay(home, Since(from_ts=newest - 61), 100, quiet).rows == 2
    assert replay(home, ALL, 5, quiet).rows == 5
    with pytest.raises(UsageError, match="no predictions in this period"):
        replay(home, Since(from_ts=newest + 1), 100, quiet)


def test_skew_finds_served_features_equal_to_the_offline_join(home: Settings, served: list[Prediction]) -> None:
    done = compared(home, served)
    assert done.skews == []
    assert (done.checked, done.left_out) == (len(served), {})
    assert done.features > 100


@pytest.mark.parametrize(
    ("where", "names"),
    [
        ("feed_ranking.model.inputs.networks.user_inputs", {"user_click_rate"}),
        ("feed_ranking.evaluation.live.recompute.post_inputs", {"post_clicks_log"}),
    ],
)
def test_skew_names_a_transform_that_changed_on_one_side(
    home: Settings, served: list[Prediction], monkeypatch: pytest.MonkeyPatch, where: str, names: set[str]
) -> None:
    module, _, name = where.rpartition(".")
    columns = {"user_inputs": 4, "post_inputs": known_column("post_clicks_log")}
    true = getattr(__import__(module, fromlist=[name]), name)

    def changed(*args: object) -> np.ndarray:
        out: np.ndarray = true(*args)
        out[:, columns[name]] *= 1.01
        return out

    monkeypatch.setattr(where, changed)
    found = {one.feature for one in compared(home, served).skews}
    assert names <= found
    assert not any(feature.startswith("user.") for feature in found)


def known_column(name: str) -> int:
    return item_names(SMOKE.world.topics).index(name)


def test_skew_names_counts_that_the_worker_computes_differently(
    home: Settings, settings: Settings, release: Release, player: FeedPlayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker counts and pushes live reactions, and the offline side counts them again from the log."""
    t = release.world_now + 500
    write_reactions(home.design_root("feed_ranking") / "live", "0", live_reactions(player.service, release.world_now))
    log = FeatureRecount.read(home, release, SMOKE).log

    def push(log: EventLog) -> list[Prediction]:
        rows = activity_at(log, SMOKE, t, np.arange(4)).to_pandas().set_index("user_id")
        breaker = CircuitBreaker("feature_store", open_s=1.0)
        bulkhead = Bulkhead("feature_store", workers=1, queue=1)
        bootstrap = FeedBootstrap(SharedParts(settings, breaker, bulkhead, FaultSwitch()), SMOKE)
        store = PushedStore(open_store(Path(release.features_path), settings, online_only=True), rows, t)
        service = bootstrap.load(release, features=store)
        return [ask(service, user, seed=user, feature_ts=t) for user in range(4)]

    assert compared(home, push(log)).skews == []
    true = aggregates._user_counts
    monkeypatch.setattr(aggregates, "_user_counts", lambda *args: true(*args) * np.float32(1.5))
    wrong = push(log)
    monkeypatch.setattr(aggregates, "_user_counts", true)
    found = {one.feature for one in compared(home, wrong).skews}
    assert {"user.counts_long", "user.counts_recent", "user_impressions_log"} <= found
    assert not found & {"user.follows", "user.creators", "post_clicks_log"}


def test_skew_is_clean_after_posts_that_have_the_id_of_another_post(
    home: Settings, settings: Settings, release: Release
) -> None:
    """The service refuses such posts, but the stream may carry them. Service and log must keep the same one."""
    breaker, bulkhead = CircuitBreaker("feature_store", open_s=1.0), Bulkhead("feature_store", workers=1, queue=1)
    bootstrap = FeedBootstrap(SharedParts(settings, breaker, bulkhead, FaultSwitch()), SMOKE)
    service = bootstrap.load(release)
    history = known_posts(home)
    expired, candidate = history.iloc[0], history.iloc[-1]
    assert service.known_post(int(expired["post_id"])) is None
    assert service.known_post(int(candidate["post_id"])) is not None
    before = ask(service, 9, seed=9, seen=[2**40])
    at_ts, creator = service.clock.now(), before.creator_ids[0]
    new = {"creator_id": creator, "media": 2, "quality_signal": 3.0, "bait_signal": -2.0, "published_ts": at_ts}
    ids = [int(expired["post_id"]), int(candidate["post_id"]), 2**40, 2**40]
    sent = [new | {"post_id": post_id, "topic": topic} for topic, post_id in enumerate(ids)]
    write_posts(home.design_root("feed_ranking") / "live", "0", sent)
    bootstrap.publish([service], [NewPost(**post) for post in sent])
    fresh = {"interest_limit": 0, "follow_limit": 0, "trending_limit": 0, "fresh_limit": 2000}
    predictions = [ask(service, user, seed=user, knobs=fresh) for user in range(4)]
    predictions += [before, ask(service, 9, seed=10, seen=[2**40])]
    ranked = {post for prediction in predictions for post in prediction.post_ids}
    assert {2**40, ids[1]} <= ranked
    done = compared(home, predictions)
    assert (done.checked, done.left_out, done.skews) == (6, {}, [])


class PushedStore:
    """The online store after a push: the build's rows with newer activity counts."""

    def __init__(self, store: object, rows: pd.DataFrame, t: float) -> None:
        self.store, self.rows, self.t = store, rows, t

    def read_online(self, user: int) -> FeatureRow:
        row: FeatureRow = self.store.read_online(user)  # type: ignore[attr-defined]
        if user not in self.rows.index:
            return row
        pushed = {name: np.asarray(self.rows.at[user, name]) for name in recompute.ACTIVITY}
        return FeatureRow({**row.values, **pushed}, row.event_ts)

    async def read_soon(self, user: int) -> FeatureRow:
        return self.read_online(user)


def live_reactions(service: FeedService, now: float) -> list[dict[str, Any]]:
    """Return reactions of the first four users in the minutes after the end of the history."""
    rng, posts = np.random.default_rng(5), service.catalogue.snapshot.post_id
    return [
        reaction(
            slate_id=10**12 + number,
            session_id=int(rng.integers(0, 9)),
            user_id=int(rng.integers(0, 4)),
            post_id=int(rng.choice(posts)),
            clicked=bool(number % 2),
            dwell_s=float(rng.uniform(1, 60)) * (number % 2),
            request_ts=now + 5.0 * number,
        )
        for number in range(60)
    ]


def test_live_posts_have_creator_counts_and_zero_post_counts(home: Settings, release: Release) -> None:
    creator = int(known_posts(home)["creator_id"].iloc[-1])
    new = {"post_id": 2**40, "creator_id": creator, "quality_signal": 0.25, "published_ts": release.world_now + 60.0}
    write_posts(home.design_root("feed_ranking") / "live", "0", [new])
    everything = FeatureRecount.read(home, release, SMOKE)
    old = known_posts(home).iloc[-1]
    ids = np.array([2**40, old["post_id"]], np.int64)
    posts = everything.posts(ids, release.world_now)
    of_creators = creator_stats_at(everything.log, everything.catalogue, SMOKE, release.world_now).to_pandas()
    mine = of_creators.set_index("creator_id").loc[creator]
    assert posts.stats[0, STATS.index("creator_impressions")] == mine["creator_impressions"] > 0
    assert posts.stats[0, STATS.index("post_impressions")] == 0
    assert posts.stats[0, STATS.index("quality_signal")] == np.float32(0.25)
    assert posts.published_ts.tolist() == [release.world_now + 60.0, old["published_ts"]]


def test_recounted_post_counts_include_live_reactions_up_to_their_time(
    home: Settings, release: Release, player: FeedPlayer
) -> None:
    reactions = live_reactions(player.service, release.world_now)
    write_reactions(home.design_root("feed_ranking") / "live", "0", reactions)
    everything, post = FeatureRecount.read(home, release, SMOKE), reactions[1]["post_id"]
    shown = STATS.index("post_impressions")
    before, after = (
        everything.posts(np.array([post]), release.world_now + later).stats[0, shown] for later in (0, 500)
    )
    assert after - before == sum(one["post_id"] == post for one in reactions) > 0


def known_posts(home: Settings) -> pd.DataFrame:
    world = Path(json.loads((home.design_root("feed_ranking") / CURRENT).read_text())["world"])
    posts: pd.DataFrame = pq.read_table(world / "posts.parquet").to_pandas()
    return posts


def test_skew_leaves_out_predictions_with_unlogged_posts(home: Settings, served: list[Prediction]) -> None:
    unknown = replace(served[0], post_ids=[2**41, *served[0].post_ids[1:]])
    done = compared(home, [unknown, served[1]])
    assert (done.checked, done.left_out) == (1, {"a post of the slate is not in the log": 1})


def test_replay_and_skew_commands_print_results_and_set_exit_codes(
    home: Settings, served: list[Prediction], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_HOME", str(home.home))
    monkeypatch.setenv("LAB_PRESET", "smoke")
    run = CliRunner().invoke
    empty = run(app, ["replay", "feed_ranking"])
    assert isinstance(empty.exception, UsageError)
    assert empty.exception.exit_code == 2
    write_predictions(
        home.design_root("feed_ranking"), [*served[:3], replace(served[3], chosen=served[3].chosen[::-1])]
    )
    wrong = run(app, ["replay", "feed_ranking", "--since", "all"])
    assert "1 differ" in wrong.output
    assert "chosen" in wrong.output
    assert getattr(wrong.exception, "exit_code", None) == 3
    fine = run(app, ["skew", "feed_ranking", "--limit", "2", "--json"])
    assert fine.exception is None
    assert json.loads(fine.stdout)["skews"] == []
    assert isinstance(run(app, ["skew", "feed_ranking", "--since", "soon"]).exception, UsageError)
