"""The simulated feedback loop trains on what it says, and a simulated day has the features of a served request."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from feed_ranking.config import SMOKE
from feed_ranking.domain import Ids
from feed_ranking.evaluation import feedback
from feed_ranking.evaluation.feedback import LOOPS, Loop, rows_of, run_loop
from feed_ranking.evaluation.simulated_days import Day, Model, SimulatedFeed
from feed_ranking.events.history import EventLog, read_log
from feed_ranking.model.artifact import load_bundle
from feed_ranking.offline.samples import Sample
from infra.registry.release import CURRENT, Release
from infra.settings import Settings

SESSIONS = 40


@pytest.fixture(scope="module")
def feed() -> SimulatedFeed:
    return SimulatedFeed(SMOKE, 3)


@pytest.fixture(scope="module")
def model(release: Release) -> Model:
    bundle = load_bundle(Path(release.model_path), release.model_digest)
    examination = np.asarray(bundle.meta["examination"]["heavy"])
    return Model(bundle.user_tower, bundle.post_tower, bundle.heavy, bundle.priors, examination)


@pytest.fixture(scope="module")
def history(settings: Settings, feed: SimulatedFeed) -> EventLog:
    current = json.loads((settings.design_root("feed_ranking") / CURRENT).read_text())
    return EventLog.of(read_log(Path(current["world"]), Path("no live log")), feed.catalogue)


@pytest.fixture(scope="module")
def day(feed: SimulatedFeed, model: Model, history: EventLog) -> Day:
    return feed.day(model, history, 0, SESSIONS, replace(SMOKE.rerank, ads=0, epsilon=0.0, randomised_share=0.5))


def test_day_is_a_log_of_posts_that_are_alive(feed: SimulatedFeed, day: Day) -> None:
    sample, t = day.sample, feed.noon_ts(0)
    assert len(np.unique(sample.slate_id)) == SESSIONS
    published = feed.world.posts.published_ts[sample.post_id]
    assert ((published < t) & (published >= t - 72 * 3600)).all()
    assert len(day.log) == len(sample) == len(day.p_click_shown)
    assert day.log["clicked"].to_numpy(zero_copy_only=False).sum() == sample.clicked.sum()
    assert sample.posts.creator_id.tolist() == feed.world.posts.creator[sample.post_id].tolist()


def test_chosen_slates_get_more_clicks_than_random_ones(day: Day) -> None:
    clicked = day.sample.clicked
    assert 0.2 < day.is_random.mean() < 0.8
    assert clicked[~day.is_random].mean() > 1.5 * clicked[day.is_random].mean()
    assert day.p_click_shown[~day.is_random].mean() > day.p_click_shown[day.is_random].mean()


def test_events_of_a_day_are_features_of_the_next(feed: SimulatedFeed, history: EventLog, day: Day) -> None:
    log = history.extended(day.log, feed.catalogue)
    assert len(log) == len(history) + len(day.log)
    user = day.sample.user_id[:1]
    before, after = (feed._users(one, feed.noon_ts(1), user).counts_long[0, 0] for one in (history, log))
    assert after - before == (day.sample.user_id == user).sum() > 0


def test_captured_value_is_1_for_the_oracle_and_about_0_by_chance(
    feed: SimulatedFeed, model: Model, history: EventLog
) -> None:
    users: Ids = np.arange(60)
    chance = replace(model, heavy=lambda x: np.random.default_rng(1).random((len(x), 4), np.float32))
    assert abs(feed.captured(chance, history, 0, users)) < 0.15
    assert 0.4 < feed.captured(model, history, 0, users) < 1.0


@pytest.mark.parametrize("loop", LOOPS, ids=lambda loop: loop.name.split()[0])
def test_loop_trains_on_the_bucket_only_if_it_says_so(
    feed: SimulatedFeed, model: Model, history: EventLog, monkeypatch: pytest.MonkeyPatch, loop: Loop
) -> None:
    trained: list[Sample] = []
    monkeypatch.setattr(feedback, "fit_model", lambda sample, config: trained.append(sample) or model)
    monkeypatch.setattr(feedback, "DAYS", 1)
    monkeypatch.setattr(feedback, "SESSIONS", SESSIONS)
    monkeypatch.setattr(feedback, "USERS", 10)
    (week,) = run_loop(feed, replace(loop, randomised_share=0.5), model, history, 1, lambda share, text: None)
    slates = len(np.unique(trained[0].slate_id))
    assert (slates == SESSIONS) == loop.trains_on_bucket
    assert 0 < slates <= SESSIONS
    assert min(week.calibration_shown, week.calibration_bucket) > 0


def test_chosen_rows_keep_the_users_of_their_slates(day: Day) -> None:
    part = rows_of(day.sample, day.is_random)
    assert len(part) == day.is_random.sum()
    assert len(part.users) == len(np.unique(part.slate_id))
    row = int(np.flatnonzero(day.is_random)[0])
    whole, kept = day.sample, part.users.counts_long[part.slate_of[0]]
    assert kept.tolist() == whole.users.counts_long[whole.slate_of[row]].tolist()
