"""Steps `materialize` and `sample`: fill the online store, and join the impressions for training and evaluation.

Clicks are rare, so the sample keeps every click and a share w of the negatives. The join adds the features as of the
request. The number of earlier impressions of the ad by the user comes from the log, as served.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ctr_prediction.config import CtrConfig
from ctr_prediction.domain import NONE, RANDOM_POLICY, SLOTS, AdFeatures, Array, Context, Floats, Ints, UserFeatures
from ctr_prediction.events.history import PublicCatalogue
from ctr_prediction.features.views import (
    ONLINE_VIEWS,
    STORED,
    TRAINED_FEATURES,
    counts_from_frame,
    default_user,
    open_store,
    users_from_frame,
)
from ctr_prediction.model.inputs import Priors, priors_from
from ctr_prediction.offline.live_rows import JOINED, LiveRows
from infra.build.runner import Facts, StepContext
from infra.columns import DAY_S, seconds
from infra.feature_store.port import OfflineFeatures
from infra.feature_store.repository import materialize_views
from infra.live.earlier_rows import uniform_of
from infra.live.kept_log import read_until
from infra.training.row_mix import first_day_of, oldest_ts

COLUMNS = (
    "impression_id",
    "request_ts",
    "user_id",
    "publisher_id",
    "device",
    "slot",
    "ad_id",
    "seen",
    "policy",
    "clicked",
    "label_ts",
)
LIVE_COLUMNS = tuple(name for name in COLUMNS if name not in ("clicked", "label_ts"))
NO_ROWS: dict[str, type] = {
    **dict.fromkeys(("impression_id", "user_id", "publisher_id", "device", "slot", "ad_id", "seen"), int),
    **{"clicked": bool, "is_random": bool, "at_s": float, "delay_s": float, "weight": float},
}
CALIBRATION_DAYS, HOLDOUT_DAYS = 1, 1
"""The last day of the history is the holdout; the day before it is for calibration."""
JOINED_AT_ONCE = 100_000
P = TypeVar("P", UserFeatures, AdFeatures, Context)
PRIORS = "priors.json"
FRESH, FRESH_LABELS, FRESH_ROWS = "fresh.npz", "fresh.json", 20_000


@dataclass(frozen=True)
class Sample:
    """n impressions with the features as of the request for their page.

    int64[n]: `impression_id`, `request_id` (the same for all impressions of one page), `user_id`, `ad_id`, `slot`,
    `seen`. `clicked` float32 in {0, 1}; `weight` float32: the number of logged impressions that the row represents.
    """

    users: UserFeatures
    ads: AdFeatures
    context: Context
    impression_id: Ints
    request_id: Ints
    user_id: Ints
    ad_id: Ints
    slot: Ints
    seen: Ints
    clicked: Floats
    weight: Floats

    def __len__(self) -> int:
        return len(self.ad_id)

    def write(self, path: Path) -> None:
        arrays: dict[str, Any] = dict(_flat(self))
        np.savez(path, **arrays)

    @classmethod
    def read(cls, path: Path) -> Sample:
        with np.load(path, allow_pickle=False) as stored:

            def part(name: str, kind: type[P]) -> P:
                return kind(*(stored[f"{name}.{item.name}"] for item in fields(kind)))

            own: dict[str, Any] = {item.name: stored[item.name] for item in fields(cls)[3:]}
            return cls(part("users", UserFeatures), part("ads", AdFeatures), part("context", Context), **own)

    @classmethod
    def joined(cls, parts: Sequence[Sample]) -> Sample:
        """The rows of several samples. Requests are numbered again, because a page may have rows in several."""
        users = UserFeatures(
            *(_stack([getattr(one.users, item.name) for one in parts]) for item in fields(UserFeatures))
        )
        ads = AdFeatures(*(_stack([getattr(one.ads, item.name) for one in parts]) for item in fields(AdFeatures)))
        context = Context(*(_stack([getattr(one.context, item.name) for one in parts]) for item in fields(Context)))
        own = {item.name: _stack([getattr(one, item.name) for one in parts]) for item in fields(cls)[3:]}
        return cls(users, ads, context, **own | {"request_id": _requests(own["user_id"], context.at_ts)})

    def take(self, rows: npt.NDArray[Any]) -> Sample:
        context = Context(*(getattr(self.context, item.name)[rows] for item in fields(Context)))
        own = (getattr(self, item.name)[rows] for item in fields(self)[3:])
        return Sample(self.users.take(rows), self.ads.take(rows), context, *own)


def _flat(value: object, prefix: str = "") -> list[tuple[str, npt.NDArray[Any]]]:
    found: list[tuple[str, npt.NDArray[Any]]] = []
    for item in fields(value):  # type: ignore[arg-type]
        inner = getattr(value, item.name)
        found += _flat(inner, f"{item.name}.") if is_dataclass(inner) else [(prefix + item.name, inner)]
    return found


def materialize(context: StepContext) -> Facts:
    """Step `materialize`: declare the views to Feast and write the newest user rows to the online store."""
    until_ts = read_until(context.inputs["live"])
    return {"online_users": materialize_views(STORED, ONLINE_VIEWS, context, until_ts)}


def write_samples(context: StepContext) -> Facts:
    """Step `sample`: write `train`, `calibration`, `holdout` and `bucket`, each an `.npz`, and `priors.json`. Write
    `fresh.npz` and `fresh.json` too if the live log has randomised traffic whose labels are mature.

    Training and calibration keep all clicks and a share w of the negatives. The holdout is drawn from all traffic of
    the last day. The bucket is the randomised traffic of the last day and of the calibration days; calibration excludes
    it, so no model and no curve uses it. Labels include the clicks reported before this build began. Training also uses
    the live log, except its randomised traffic, whose newest `FRESH_ROWS` mature rows are for the gate.
    Training leaves out the rows before the window (`train_days`).
    """
    config: CtrConfig = context.config
    world = context.inputs["world"]
    store = open_store(context.inputs["materialize"], context.settings)
    catalogue, until = PublicCatalogue.read(world), read_until(context.inputs["live"])
    last = config.world.days - HOLDOUT_DAYS
    first_later = last - CALIBRATION_DAYS
    share, rng = config.sample.negative_share, np.random.default_rng(config.world.seed)

    def kept(log: pd.DataFrame) -> pd.DataFrame:
        log = log.assign(weight=np.where(log["clicked"], 1.0, 1.0 / share))
        return log[log["clicked"] | (rng.random(len(log)) < share)]

    window, first_day = config.sample.train_days, config.sample.first_day
    days = range(first_day_of(config.world, until, window, first_day, first_later), config.world.days)
    live = LiveRows.read(context, LIVE_COLUMNS)
    since = live_frame(live.table(), catalogue, until)
    drawn = uniform_of(since["impression_id"].to_numpy(np.int64), config.world.seed)
    taught = since[
        ~since["is_random"] & (since["at_s"] >= oldest_ts(until, window)) & (since["clicked"] | (drawn < share))
    ]
    taught = taught.assign(weight=np.where(taught["clicked"], 1.0, 1.0 / share))
    train = [kept(read_day(world, config, day, until)) for day in days if day < first_later]
    later = [read_day(world, config, day, until) for day in days if first_later <= day < last]
    holdout = read_day(world, config, last, until).assign(weight=1.0)
    by_chance = [log[log["is_random"]].assign(weight=1.0) for log in (*later, holdout)]
    chosen = rng.permutation(len(holdout))[: config.sample.holdout_rows]
    parts = {
        "train": pd.concat(train, ignore_index=True),
        "calibration": pd.concat([kept(log[~log["is_random"]]) for log in later], ignore_index=True),
        "holdout": holdout.iloc[np.sort(chosen)],
        "bucket": pd.concat(by_chance, ignore_index=True),
    }
    priors = priors_of(config, world, until)
    (context.out / PRIORS).write_text(json.dumps({name: asdict(found) for name, found in priors.items()}))
    fresh = mature_rows(since[since["is_random"]], config.sample.attribution_s, until)
    of_live = {name: join_live(store, live, rows, catalogue) for name, rows in (("train", taught), ("fresh", fresh))}
    facts: dict[str, int] = {"live_rows": len(taught), "fresh_rows": len(fresh), **live.facts()}
    for index, (name, rows) in enumerate(parts.items()):
        sample = join(store, rows, catalogue)
        if name == "train" and len(taught):
            sample = Sample.joined([sample, of_live["train"]])
        sample.write(context.out / f"{name}.npz")
        facts |= {f"{name}_rows": len(sample), f"{name}_clicks": int(sample.clicked.sum())}
        context.report((index + 1) / len(parts), f"{name}: {len(sample):,} impressions")
    if len(fresh):
        of_live["fresh"].write(context.out / FRESH)
        share = reported_share(config, world, range(first_later), until)
        (context.out / FRESH_LABELS).write_text(json.dumps({"reported_share": share}))
    if len(since):
        folder = live.keep(context, pd.concat([taught, fresh])["impression_id"].to_numpy(np.int64))
        Sample.joined(list(of_live.values())).write(folder / JOINED)
    return facts


def mature_rows(log: pd.DataFrame, attribution_s: float, until: float) -> pd.DataFrame:
    """The newest `FRESH_ROWS` impressions that are at least `attribution_s` old at `until`, in order of time.

    A click counts if it was reported within `attribution_s`. Each impression thus had the same time for a click. With
    all reported clicks, the older of two impressions would have more of them.
    """
    log = log[log["at_s"] <= until - attribution_s]
    log = log.assign(clicked=log["delay_s"] <= attribution_s, weight=1.0)
    return log.sort_values(["at_s", "impression_id"], kind="stable", ignore_index=True).tail(FRESH_ROWS)


def reported_share(config: CtrConfig, world: Path, days: range, until: float) -> float:
    """The share of the clicks of `days` that were reported within `attribution_s`, of those reported by `until`."""
    delay_s = [
        log.loc[log["clicked"], "delay_s"].to_numpy() for log in (read_day(world, config, d, until) for d in days)
    ]
    found = np.concatenate(delay_s)
    return float((found <= config.sample.attribution_s).mean()) if len(found) else 1.0


def priors_of(config: CtrConfig, world: Path, until: float) -> dict[str, Priors]:
    """Priors of each model, from the days before the holdout. `debiased`: the click rate of the first slot, and the
    relative rates of the other slots in the randomised traffic, smoothed towards rates that halve with each slot.
    `undebiased`: one click rate and equal weights for all slots, as in a model without position
    debiasing."""
    shown, clicks, everyone, clicked = (np.zeros(SLOTS) for _ in range(4))
    for day in range(config.world.days - HOLDOUT_DAYS):
        log = read_day(world, config, day, until)
        slot, click = log["slot"].to_numpy(), log["clicked"].to_numpy(np.float64)
        is_random = log["is_random"].to_numpy()
        shown += np.bincount(slot[is_random], minlength=SLOTS)
        clicks += np.bincount(slot[is_random], click[is_random], SLOTS)
        everyone += np.bincount(slot, minlength=SLOTS)
        clicked += np.bincount(slot, click, SLOTS)
    guess, strength = 0.5 ** np.arange(SLOTS), 50.0
    first = (clicks[0] + 1.0) / (shown[0] + 1.0 / 0.02)
    rates = (clicks / first + strength * guess) / (shown + strength)
    rates /= rates[0]
    return {
        "debiased": Priors(float(clicked.sum() / (everyone @ rates)), tuple(round(float(rate), 5) for rate in rates)),
        "undebiased": Priors(float(clicked.sum() / everyone.sum()), (1.0,) * SLOTS),
    }


def read_priors(sample: Path) -> dict[str, Priors]:
    """The priors of each model, as the step `sample` wrote them."""
    return {name: priors_from(values) for name, values in json.loads((sample / PRIORS).read_text()).items()}


def read_day(world: Path, config: CtrConfig, day: int, until: float) -> pd.DataFrame:
    """The impressions of one day, with the clicks that were reported before `until`."""
    at = datetime.fromtimestamp(pd.Timestamp(config.world.start).timestamp() + day * DAY_S, UTC)
    file = world / "log" / f"date={at.date()}" / "part-0.parquet"
    return _frame(pq.read_table(file, columns=list(COLUMNS), partitioning=None), until)


def live_frame(table: pa.Table | None, catalogue: PublicCatalogue, until: float) -> pd.DataFrame:
    """The live impressions of all policies, of users and ads in the catalogue."""
    if table is None:
        return pd.DataFrame({name: np.zeros(0, kind) for name, kind in NO_ROWS.items()})
    log = _frame(table.select(list(COLUMNS)), until)
    is_known = log["user_id"].between(0, len(catalogue.people) - 1) & log["ad_id"].between(0, len(catalogue.ads) - 1)
    is_known &= log["slot"].between(0, SLOTS - 1) & log["publisher_id"].between(0, len(catalogue.publishers) - 1)
    return log[is_known].reset_index(drop=True)


def _frame(table: pa.Table, until: float) -> pd.DataFrame:
    at_s, label_s = (seconds(table[name].to_numpy()) for name in ("request_ts", "label_ts"))
    is_random = pc.equal(table["policy"], RANDOM_POLICY).to_numpy()
    frame: pd.DataFrame = table.drop_columns(["request_ts", "label_ts", "policy"]).to_pandas()
    clicked = frame["clicked"].to_numpy() & (label_s < until)
    return frame.assign(
        at_s=at_s, is_random=is_random, clicked=clicked, delay_s=np.where(clicked, label_s - at_s, np.inf)
    )


def join(store: OfflineFeatures, log: pd.DataFrame, catalogue: PublicCatalogue) -> Sample:
    """The impressions of `log`, in its order, with the features as of their request."""
    ads = catalogue.ads.iloc[log["ad_id"].to_numpy()]
    campaign = ads["campaign_id"].to_numpy(np.int64)
    keys = pd.DataFrame({"user_id": log["user_id"].to_numpy(), "ad_id": log["ad_id"].to_numpy()})
    keys["campaign_id"] = campaign
    keys["event_ts"] = pd.to_datetime((log["at_s"].to_numpy() * 1e6).astype(np.int64), unit="us", utc=True)
    parts = [
        _features(store.join(keys.iloc[first : first + JOINED_AT_ONCE], TRAINED_FEATURES))
        for first in range(0, max(len(keys), 1), JOINED_AT_ONCE)
    ]
    users = UserFeatures(*(_stack([getattr(part[0], item.name) for part in parts]) for item in fields(UserFeatures)))
    counts = [np.concatenate(columns) for columns in zip(*(part[1] for part in parts), strict=True)]
    column = {name: log[name].to_numpy(np.int64) for name in ("user_id", "ad_id", "slot", "seen", "impression_id")}
    at_s: Array = log["at_s"].to_numpy(np.float64)
    return Sample(
        users=users,
        ads=AdFeatures(campaign, ads["creative_id"].to_numpy(np.int64), *counts),
        context=Context(log["publisher_id"].to_numpy(np.int64), log["device"].to_numpy(np.int64), at_s),
        request_id=_requests(column["user_id"], at_s),
        clicked=log["clicked"].to_numpy(np.float32),
        weight=log["weight"].to_numpy(np.float32),
        **column,
    )


def join_live(store: OfflineFeatures, live: LiveRows, log: pd.DataFrame, catalogue: PublicCatalogue) -> Sample:
    """The live impressions of `log`, in its order, with their features. Those that the earlier output has are not
    joined again and get their new labels; the result is the same."""
    ids = log["impression_id"].to_numpy(np.int64)
    place = live.earlier(ids, log["at_s"].to_numpy(np.float64))
    is_new = place < 0
    parts = [join(store, log[is_new], catalogue)]
    if live.files.earlier is not None and not is_new.all():
        parts.append(Sample.read(live.files.earlier / JOINED).take(place[~is_new]))
    rows = Sample.joined(parts).take(np.argsort(np.r_[np.flatnonzero(is_new), np.flatnonzero(~is_new)]))
    width = max(int((rows.users.audience != NONE).sum(axis=1).max(initial=1)), 1)
    return replace(
        rows,
        users=replace(rows.users, audience=rows.users.audience[:, :width]),
        request_id=_requests(rows.user_id, rows.context.at_ts),
        clicked=log["clicked"].to_numpy(np.float32),
        weight=log["weight"].to_numpy(np.float32),
    )


def _requests(user_id: Ints, at_s: Array) -> Ints:
    """int64[n]: the same number for all impressions of one page."""
    pages = np.stack([user_id, (at_s * 1000).astype(np.int64)])
    return np.unique(pages, axis=1, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _features(frame: pd.DataFrame) -> tuple[UserFeatures, tuple[npt.NDArray[Any], ...]]:
    users = users_from_frame(frame, default_user())
    return users, (*counts_from_frame(frame, "ad"), *counts_from_frame(frame, "campaign"))


def _stack(arrays: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Concatenate. Rows of lists may differ in length and are padded with -1."""
    if arrays[0].ndim == 1 or len({array.shape[1] for array in arrays}) == 1:
        return np.concatenate(arrays)
    width = max(array.shape[1] for array in arrays)
    return np.concatenate([np.pad(a, ((0, 0), (0, width - a.shape[1])), constant_values=-1) for a in arrays])
