"""A build of the ads reads only the new files of the live log, and its samples have the bytes of a full read."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ctr_prediction.design import DESIGN
from ctr_prediction.domain import RANDOM_POLICY
from ctr_prediction.events.cuts import live_root
from ctr_prediction.events.schemas import Click, Impression
from ctr_prediction.offline.samples import FRESH, Sample
from infra.build.fingerprints import current_output
from infra.build.runner import build
from infra.settings import Settings
from tests.support.ctr_events import click, impression
from tests.unit.ctr_prediction.events.test_tables import write
from tests.unit.ctr_prediction.offline.test_samples import CONFIG, DAY_S, END, HOUR_S

SMALL = {"smoke": CONFIG}
FIRST = ("world", "live", "features", "materialize", "sample")
STEPS = replace(DESIGN, config=f"{__name__}:SMALL", steps=tuple(one for one in DESIGN.steps if one.name in FIRST))
ROWS = 400


def auctions(first: int, at_s: float, count: int = ROWS) -> list[Impression]:
    """One impression every second. Every fourth one is random."""
    return [
        impression(
            number, user_id=number % 60, ad_id=number % 8, campaign_id=number % 8 % 3,
            policy=RANDOM_POLICY if number % 4 == 0 else "auction_v2",
            request_ts=at_s + number - first, seen_ts=at_s + number - first + 1,
        )
        for number in range(first, first + count)
    ]  # fmt: skip


def clicks_of(shown: list[Impression], every: int, delay_s: float) -> list[Click]:
    return [click(one.auction_id, label_ts=one.request_ts + delay_s) for one in shown[::every]]


OLD = [*auctions(2**40, END + HOUR_S), *auctions(2**41, END + 7 * HOUR_S)]
BEFORE = [*OLD, *clicks_of(OLD, 9, 30.0)]
NEW = auctions(2**42, END + 8 * HOUR_S)
AFTER = [
    *NEW,
    *clicks_of(NEW, 7, 20.0),
    *OLD[:20],  # again
    *clicks_of(OLD, 10, 2 * HOUR_S),  # late clicks, mostly of impressions that were not sampled
    *clicks_of(OLD, 9, 60.0)[:5],  # again, and later
    *auctions(2**43, END + 2 * HOUR_S, 50),  # seen before the last snapshot of ads
    *auctions(2**44, END + DAY_S + HOUR_S, 50),
]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(home=tmp_path, preset="smoke")
    write(live_root(settings), BEFORE)
    return settings


def output(settings: Settings, step: str) -> Path:
    return current_output(settings.design_root("ctr_prediction"), step)


def build_samples(settings: Settings) -> tuple[dict[str, Any], dict[str, bytes]]:
    facts = dict(build(STEPS, settings)[-1].facts)
    folder = output(settings, "sample")
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "step.json"]
    return facts, {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_only_new_files_are_read_and_the_samples_equal_those_of_a_full_read(settings: Settings) -> None:
    facts, _ = build_samples(settings)
    assert (facts["live_files_read"], facts["live_files_kept"]) == (2, 0)
    before = Sample.read(output(settings, "sample") / "train.npz")
    known = {path.name for path in output(settings, "live").rglob("*.parquet")}
    write(live_root(settings), AFTER)
    build(replace(STEPS, steps=STEPS.steps[:-1]), settings)
    old = {path: path.read_bytes() for path in output(settings, "live").rglob("*.parquet") if path.name in known}
    for path in old:
        path.unlink()  # it is linked to the worker's file
        path.write_bytes(b"read before")
    facts, grown = build_samples(settings)
    assert (facts["live_files_read"], facts["live_files_kept"]) == (2, 2)
    for path, content in old.items():
        path.write_bytes(content)
    shutil.rmtree(settings.design_root("ctr_prediction") / "steps" / "sample")
    facts, whole = build_samples(settings)
    assert (facts["live_files_read"], facts["live_files_kept"]) == (4, 0)
    assert grown.keys() == whole.keys()
    assert [name for name in whole if grown[name] != whole[name]] == []
    train, fresh = (Sample.read(output(settings, "sample") / name) for name in ("train.npz", FRESH))
    late = [one.auction_id for one in OLD[::10] if one.policy != RANDOM_POLICY]
    numbers = np.array([one.number for one in OLD if one.auction_id in late])
    assert np.isin(numbers, train.impression_id[train.clicked > 0]).all()
    assert not np.isin(numbers, before.impression_id).all(), "late clicks bring rows that were not sampled before"
    assert len(fresh) > 150
