"""Training samples contain only features known at each request, compared with a recount of the log.

The steps of a build run on a tiny world, Feast's join included.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.parquet as pq
import pytest

from ctr_prediction.config import SMOKE
from ctr_prediction.design import DESIGN
from ctr_prediction.domain import NONE, RANDOM_POLICY, SLOTS
from ctr_prediction.events import history
from ctr_prediction.events.cuts import cut_of, live_root
from ctr_prediction.events.history import cut_log
from ctr_prediction.events.schemas import Click, Impression
from ctr_prediction.features.views import LIFETIMES
from ctr_prediction.offline.feature_tables import compute_tables
from ctr_prediction.offline.generate import write_history
from ctr_prediction.offline.networks.spec import rows_of
from ctr_prediction.offline.samples import (
    FRESH,
    FRESH_LABELS,
    PRIORS,
    Sample,
    materialize,
    read_priors,
    reported_share,
    write_samples,
)
from infra.build.runner import StepContext
from infra.design import knobs_of
from infra.settings import Settings
from tests.support.ctr_events import click, impression
from tests.unit.ctr_prediction.events.test_tables import write

DAY_S, HOUR_S, DAYS = 86_400.0, 3600.0, 5
CONFIG = replace(
    SMOKE,
    world=replace(
        SMOKE.world, users=60, segments=6, publishers=4, campaigns=6, targeted_segments=3, requests_per_day=200,
        days=DAYS, click_bias=-1.5, slow_share=0.6, randomised_share=0.3, retargeted_share=0.3,
    ),
    features=replace(SMOKE.features, window_days=2),
    sample=replace(SMOKE.sample, negative_share=0.3, holdout_rows=250),
)  # fmt: skip
START = pd.Timestamp(CONFIG.world.start).timestamp()
END = START + DAYS * DAY_S
WINDOW_S = CONFIG.features.window_days * DAY_S
STEPS = {
    "world": (write_history, ()),
    "live": (cut_log, ()),
    "features": (compute_tables, ("world", "live")),
    "materialize": (materialize, ("live", "features")),
    "sample": (write_samples, ("world", "live", "features", "materialize")),
}
PARTS = ("train", "calibration", "holdout", "bucket")


@dataclass(frozen=True)
class Built:
    root: Path
    log: pd.DataFrame
    """every impression with `at_s` and `label_s`, which is infinite without a click"""
    samples: Mapping[str, Sample]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    root = tmp_path_factory.mktemp("build")
    settings = Settings(home=root / "home", preset="smoke")
    for name, (step, after) in STEPS.items():
        (root / name).mkdir()
        inputs = {one: root / one for one in after}
        step(StepContext(DESIGN, settings, CONFIG, root / name, inputs, lambda share, text: None))
    files = sorted((root / "world" / "log").rglob("*.parquet"))
    log = pd.concat([pd.read_parquet(file, partitioning=None) for file in files], ignore_index=True)
    at_s, label_s = (
        log[name].astype("datetime64[us, UTC]").astype(np.int64) / 1e6 for name in ("request_ts", "label_ts")
    )
    log = log.assign(at_s=at_s, label_s=np.where(log["clicked"], label_s, np.inf))
    return Built(root, log, {name: Sample.read(root / "sample" / f"{name}.npz") for name in PARTS})


def test_feature_views_do_not_depend_on_user_batches(
    built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "USERS_AT_ONCE", 17)
    inputs = {name: built.root / name for name in ("world", "live")}
    settings = Settings(home=tmp_path / "home", preset="smoke")
    facts = compute_tables(StepContext(DESIGN, settings, CONFIG, tmp_path, inputs, lambda share, text: None))
    views = sorted(path.name for path in (built.root / "features").glob("*.parquet"))
    assert len(views) == 5
    rows = 0
    for view in views:
        whole, parts = (pq.read_table(root / view).to_pandas() for root in (built.root / "features", tmp_path))
        keys = [*[name for name in whole if name.endswith("_id")][:1], "feature_ts"]
        pd.testing.assert_frame_equal(*(one.sort_values(keys, ignore_index=True) for one in (whole, parts)))
        rows += len(whole)
    assert facts["rows"] == rows


def last_before(at_s: float, every_s: float) -> float:
    """Return the time of the last feature computation before a request."""
    return START + (at_s - START) // every_s * every_s


def recounted(log: pd.DataFrame, of: str, entity: int, t: float) -> tuple[list[float], float]:
    """Count the impressions by slot and the clicks that were known before `t`, event by event."""
    shown, clicks = [0.0] * SLOTS, 0.0
    for slot, at_s, label_s in log.loc[log[of] == entity, ["slot", "at_s", "label_s"]].itertuples(index=False):
        shown[slot] += t - WINDOW_S <= at_s < t
        clicks += t - WINDOW_S <= label_s < t
    return shown, clicks


def test_rows_of_ads_live_as_long_as_the_longest_snapshot_interval() -> None:
    """With a shorter lifetime, the join would miss the newest counts of an ad and return zeros."""
    longest = next(knob.high for knob in knobs_of(CONFIG) if knob.name == "ad_snapshot_h")
    assert {view: life.total_seconds() >= longest * HOUR_S for view, life in LIFETIMES.items()} == {
        "ad_stats": True,
        "campaign_stats": True,
    }


@pytest.mark.parametrize("part", PARTS)
def test_sample_counts_match_the_events_known_at_the_request(built: Built, part: str) -> None:
    sample, rng = built.samples[part], np.random.default_rng(1)
    some = sample.take(np.sort(rng.choice(len(sample), min(len(sample), 60), replace=False)))
    known = 0.0
    for row, at_s in enumerate(some.context.at_ts.tolist()):
        midnight = last_before(at_s, DAY_S)
        hours = last_before(at_s, CONFIG.features.ad_snapshot_h * HOUR_S)
        found = {
            "user_id": (some.users.shown[row].tolist(), some.users.clicks[row], some.user_id[row], midnight),
            "ad_id": (some.ads.shown[row].tolist(), some.ads.clicks[row], some.ad_id[row], hours),
            "campaign_id": (
                some.ads.campaign_shown[row].tolist(), some.ads.campaign_clicks[row], some.ads.campaign[row], hours
            ),
        }  # fmt: skip
        for of, (shown, clicks, entity, t) in found.items():
            assert t <= at_s
            assert (shown, clicks) == recounted(built.log, of, entity, t), (of, row)
            known += clicks
    assert known > 100, "without clicks the comparison proves nothing"


@pytest.mark.parametrize("part", PARTS)
def test_sample_rows_match_the_logged_impressions(built: Built, part: str) -> None:
    sample = built.samples[part]
    rows = built.log.set_index("impression_id").loc[sample.impression_id]
    own: dict[str, npt.NDArray[Any]] = {
        "user_id": sample.user_id,
        "ad_id": sample.ad_id,
        "slot": sample.slot,
        "seen": sample.seen,
        "campaign_id": sample.ads.campaign,
        "creative_id": sample.ads.creative,
        "segment": sample.users.segment,
        "publisher_id": sample.context.publisher,
        "device": sample.context.device,
        "at_s": sample.context.at_ts,
    }
    for name, values in own.items():
        np.testing.assert_array_equal(values, rows[name].to_numpy(), err_msg=name)
    np.testing.assert_array_equal(sample.clicked, (rows["label_s"] < END).to_numpy(), err_msg="reported by now")


def test_clicks_reported_after_the_end_are_not_in_the_samples(built: Built) -> None:
    late = built.log[built.log["clicked"] & (built.log["label_s"] >= END)]
    assert len(late) > 5
    for sample in built.samples.values():
        assert not sample.clicked[np.isin(sample.impression_id, late["impression_id"])].any()


def test_samples_split_by_day_and_weight_the_sampled_negatives(built: Built) -> None:
    log, share = built.log, CONFIG.sample.negative_share
    day = ((log["at_s"] - START) // DAY_S).to_numpy().astype(int)
    reported = (log["label_s"] < END).to_numpy()
    by_chance = (log["policy"] == RANDOM_POLICY).to_numpy()
    wanted = {"train": day < DAYS - 2, "calibration": (day == DAYS - 2) & ~by_chance}
    for part, there in wanted.items():
        sample = built.samples[part]
        clicked = sample.clicked > 0
        assert set(sample.impression_id[clicked]) == set(log["impression_id"][there & reported])
        others, kept = int((there & ~reported).sum()), int((~clicked).sum())
        assert kept == pytest.approx(share * others, abs=4 * np.sqrt(share * (1 - share) * others))
        assert set(sample.impression_id) <= set(log["impression_id"][there])
        np.testing.assert_allclose(sample.weight, np.where(clicked, 1.0, 1 / share), rtol=1e-6)
    last = day == DAYS - 1
    bucket, holdout = built.samples["bucket"], built.samples["holdout"]
    assert set(bucket.impression_id) == set(log["impression_id"][(day >= DAYS - 2) & by_chance])
    assert set(holdout.impression_id) <= set(log["impression_id"][last])
    assert len(holdout) == len(set(holdout.impression_id)) == CONFIG.sample.holdout_rows
    assert (bucket.weight == 1).all()
    assert (holdout.weight == 1).all()


@pytest.mark.parametrize("part", PARTS)
def test_request_ids_identify_pages(built: Built, part: str) -> None:
    sample = built.samples[part]
    pages = list(zip(sample.user_id.tolist(), sample.context.at_ts.tolist(), strict=True))
    pairs = set(zip(pages, sample.request_id.tolist(), strict=True))
    assert len(pairs) == len(set(pages)) == len(set(sample.request_id.tolist()))


def test_audience_is_joined_to_the_samples(built: Built) -> None:
    people = pd.read_parquet(built.root / "world" / "people.parquet").set_index("user_id")["audience"]
    sample = built.samples["train"]
    for user, row in zip(sample.user_id.tolist(), sample.users.audience, strict=True):
        assert row[row != NONE].tolist() == list(people[user])
    assert 0 < (sample.users.audience >= 0).any(axis=1).mean() < 1


def test_priors_cover_the_days_before_the_holdout(built: Built) -> None:
    both = json.loads((built.root / "sample" / PRIORS).read_text())
    priors, blind = both["debiased"], both["undebiased"]
    before = built.log[built.log["at_s"] < END - DAY_S]
    clicks, shown = (before["label_s"] < END).sum(), np.bincount(before["slot"], minlength=SLOTS)
    assert priors["examination"][0] == 1.0
    assert priors["ctr"] == pytest.approx(clicks / (shown @ np.array(priors["examination"])), rel=1e-3)
    planted = (1.0 + np.arange(SLOTS)) ** -CONFIG.world.examination_decay
    np.testing.assert_allclose(priors["examination"], planted, atol=0.3)
    assert blind["examination"] == [1.0] * SLOTS, "the undebiased model counts every impression as examined"
    assert blind["ctr"] == pytest.approx(clicks / shown.sum(), rel=1e-3)


def test_share_of_clicks_reported_in_time_matches_the_log(built: Built) -> None:
    config = replace(CONFIG, sample=replace(CONFIG.sample, attribution_s=3600.0))
    log = built.log[(built.log["at_s"] < START + 2 * DAY_S) & (built.log["label_s"] < END)]
    soon = (log["label_s"] - log["at_s"] <= 3600.0).mean()
    assert 0.3 < soon < 0.9
    assert reported_share(config, built.root / "world", range(2), END) == pytest.approx(soon, abs=1e-9)


def test_training_leaves_out_the_days_before_the_window(built: Built, tmp_path: Path) -> None:
    """The window of three days reaches back to day 2; days 3 and 4 are for calibration and the holdout."""
    config = replace(CONFIG, sample=replace(CONFIG.sample, train_days=3))
    inputs = {name: built.root / name for name in STEPS["sample"][1]}
    settings = Settings(home=built.root / "home", preset="smoke")
    write_samples(StepContext(DESIGN, settings, config, tmp_path, inputs, lambda share, text: None))
    train, whole = Sample.read(tmp_path / "train.npz"), built.samples["train"]
    assert set(((whole.context.at_ts - START) // DAY_S).tolist()) == {0, 1, 2}
    assert set(((train.context.at_ts - START) // DAY_S).tolist()) == {2}
    for name in ("calibration.npz", "holdout.npz"):
        days = {
            tuple(np.unique((Sample.read(root / name).context.at_ts - START) // DAY_S))
            for root in (tmp_path, built.root / "sample")
        }
        assert len(days) == 1


def test_live_rows_have_their_weight_in_the_loss(built: Built) -> None:
    sample = built.samples["train"]
    at_ts = np.where(np.arange(len(sample)) < 50, END + 1.0, sample.context.at_ts)
    sample = replace(sample, context=replace(sample.context, at_ts=at_ts))
    priors = read_priors(built.root / "sample")["debiased"]
    heavy = replace(CONFIG, sample=replace(CONFIG.sample, live_weight=3.0))
    weight = rows_of(sample, heavy, priors)["weight"]
    assert (set(weight[:50]), set(weight[50:])) == ({3.0}, {1.0})
    by_weight = replace(heavy, sample=replace(heavy.sample, imbalance="weight"))
    np.testing.assert_array_equal(rows_of(sample, by_weight, priors)["weight"], sample.weight * weight)


def live_rows(at_s: float, *delays_s: float, first: int = 2**48) -> list[Impression | Click]:
    """Randomised impressions of `at_s`, one for each delay of a click; an infinite delay is no click."""
    events: list[Impression | Click] = []
    for number, delay_s in enumerate(delays_s, first):
        times = {"request_ts": at_s, "seen_ts": at_s + 1}
        events.append(impression(number, ad_id=1, campaign_id=1, policy=RANDOM_POLICY, **times))
        events += [click(number, label_ts=at_s + delay_s)] if np.isfinite(delay_s) else []
    return events


def test_rows_for_the_gate_are_randomised_and_old_enough_for_their_clicks(built: Built, tmp_path: Path) -> None:
    """The newest event is at END + 500, so the rows of END + 400 are younger than 120 s."""
    settings, live = Settings(home=tmp_path, preset="smoke"), tmp_path / "home"
    old = live_rows(END + 100, 30.0, 119.0, 121.0, 390.0, np.inf)
    young = live_rows(END + 400, 20.0, np.inf, first=2**49)
    usual = [impression(2**50, ad_id=1, campaign_id=1, request_ts=END + 100, seen_ts=END + 101)]
    last = [impression(2**50 + 1, ad_id=1, campaign_id=1, request_ts=END + 499, seen_ts=END + 500)]
    write(live_root(settings), [*old, *young, *usual, *last])
    for name, (step, after) in STEPS.items():
        inputs = {one: (built.root if one == "world" else live) / one for one in after}
        if name != "world":
            (live / name).mkdir(parents=True)
            cut = cut_of(settings) if name == "live" else ""
            step(StepContext(DESIGN, settings, CONFIG, live / name, inputs, lambda share, text: None, cut=cut))
    fresh, train = (Sample.read(live / "sample" / name) for name in (FRESH, "train.npz"))
    order = np.argsort(fresh.impression_id)
    numbers = [one.number for one in old if isinstance(one, Impression)]
    assert fresh.impression_id[order].tolist() == numbers
    assert fresh.clicked[order].tolist() == [1, 1, 0, 0, 0], "the last two clicks came too late"
    assert not np.isin(train.impression_id, [one.number for one in (*old, *young) if isinstance(one, Impression)]).any()
    share = json.loads((live / "sample" / FRESH_LABELS).read_text())["reported_share"]
    assert share == reported_share(CONFIG, built.root / "world", range(DAYS - 2), END)
    assert not (built.root / "sample" / FRESH).exists()
