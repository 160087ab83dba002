"""Recomputes features as of any time from the history and the live log, with the functions of training."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from feed_ranking.config import FeedConfig
from feed_ranking.design import DESIGN
from feed_ranking.domain import CREATOR_COLUMNS, POST_COLUMNS, STATS, Floats, Ids, PostFeatures, UserFeatures
from feed_ranking.events.cuts import live_root
from feed_ranking.events.history import EventLog, PublicCatalogue, read_catalogue, read_log
from feed_ranking.events.schemas import Prediction
from feed_ranking.features.aggregates import activity_at, creator_stats_at, post_stats_at
from feed_ranking.features.views import CONTENT, VIEWS, default_user, users_from_frame
from feed_ranking.model.artifact import Bundle
from feed_ranking.model.inputs import Context, post_inputs, post_tower_inputs, ranker_inputs
from feed_ranking.offline.planted_joins import LEAK_COLUMNS, planted_change
from feed_ranking.offline.samples import join_users
from infra.columns import HOUR_S
from infra.faults.planted import planted_in
from infra.feature_store.changed_join import Change
from infra.feature_store.port import Joins
from infra.registry.release import CURRENT, Release
from infra.settings import Settings

ACTIVITY = tuple(VIEWS["user_activity"][1])
COUNTED = tuple(name for name in POST_COLUMNS if name not in CONTENT)


@dataclass(frozen=True)
class FeatureRecount:
    """The events of the history and the live log, from which features as of any time are recomputed."""

    log: EventLog
    catalogue: PublicCatalogue
    config: FeedConfig
    world_now: float
    items: dict[float, tuple[pd.DataFrame, pd.DataFrame]]
    """cache: time -> counts of posts and of creators, by id"""
    change: Change | None = None
    """a planted change of the join (`feed_ranking.offline.planted_joins`), which training has too"""

    @classmethod
    def read(cls, settings: Settings, release: Release, config: FeedConfig) -> FeatureRecount:
        """Read the history of the served build and the whole live log."""
        root, live = settings.design_root(DESIGN.name), live_root(settings)
        world = Path(json.loads((root / CURRENT).read_text())["world"])
        catalogue = read_catalogue(world, live)
        log = EventLog.of(read_log(world, live), catalogue)
        change = planted_change(planted_in(DESIGN, root, "sample"), lambda: read_log(world, live, LEAK_COLUMNS))
        return cls(log, catalogue, config, release.world_now, {}, change)

    def not_recomputable(self, prediction: Prediction) -> str:
        """The reason why a prediction's features cannot be recomputed, or the empty string."""
        if prediction.knobs.get("hydration") == "feast":
            return "the post columns came from the feature store (naive hydration)"
        if (self.catalogue.rows_of(np.asarray(prediction.post_ids, np.int64)) < 0).any():
            return "a post of the slate is not in the log"
        return ""

    def users(self, store: Joins, predictions: Sequence[Prediction]) -> list[UserFeatures]:
        """The user features of each prediction as of `feature_ts`. Rows materialised by the build come from Feast's
        join. Rows pushed by the worker are recomputed from the log. Profiles do not change after the build."""
        if not predictions:
            return []
        default = default_user(self.config.world.topics, self.config.features.creator_slots)
        user_id = [prediction.user_id for prediction in predictions]
        at = np.array([min(prediction.feature_ts or 0.0, self.world_now) for prediction in predictions])
        joined = join_users(store, user_id, pd.to_datetime(pd.Series(at), unit="s", utc=True), default)
        users = [joined.take(np.array([row])) for row in range(len(joined))]
        for t in sorted({p.feature_ts for p in predictions if p.feature_ts > self.world_now}):
            rows = [row for row, prediction in enumerate(predictions) if prediction.feature_ts == t]
            ids = np.unique([user_id[row] for row in rows])
            counted = activity_at(self.log, self.config, t, ids).to_pandas().set_index("user_id").reindex(ids)
            for row in rows:
                frame = counted.loc[[user_id[row]]].assign(
                    **{name: list(getattr(users[row], name)) for name in vars(default) if name not in ACTIVITY}
                )
                users[row] = users_from_frame(frame, default)
        return [
            default if prediction.feature_ts == 0 else user for prediction, user in zip(predictions, users, strict=True)
        ]

    def posts(self, post_ids: Ids, t: float, shown_ts: float | None = None) -> PostFeatures:
        """Post features as of `t`. Posts published after `t` have zero counts and their creator's counts as of `t`.

        `shown_ts` is the time of the request, to which training joins.
        """
        if t not in self.items:
            self.items[t] = (
                post_stats_at(self.log, self.catalogue, self.config, t).to_pandas().set_index("post_id"),
                creator_stats_at(self.log, self.catalogue, self.config, t).to_pandas().set_index("creator_id"),
            )
        of_posts, of_creators = self.items[t]
        content = self.catalogue.posts.iloc[self.catalogue.rows_of(post_ids)]
        creator = content["creator_id"].to_numpy(np.int64)
        counts = of_posts.reindex(post_ids)[list(COUNTED)].fillna(0.0)
        creators = of_creators.reindex(creator).fillna(0.0)
        column: Mapping[str, Any] | pd.DataFrame = {
            **{name: content[name].to_numpy() for name in CONTENT},
            **{name: counts[name].to_numpy() for name in COUNTED},
            **{name: creators[name].to_numpy() for name in CREATOR_COLUMNS},
        }
        if self.change is not None:
            at = pd.to_datetime(np.full(len(post_ids), shown_ts or t), unit="s", utc=True)
            column = self.change(pd.DataFrame({"post_id": post_ids, "event_ts": at, **column}))
        return PostFeatures(
            creator_id=creator,
            topic=content["topic"].to_numpy(np.int64),
            media=content["media"].to_numpy(np.int64),
            creator_region=creators["creator_region"].to_numpy(np.int64),
            published_ts=content["published_ts"].to_numpy(np.float64),
            stats=np.stack([np.asarray(column[name], np.float32) for name in STATS], axis=1),
        )

    def inputs(self, prediction: Prediction, user: UserFeatures, bundle: Bundle) -> Floats:
        """float32[n, ranker inputs]: the inputs of the logged batch, computed as in training."""
        posts = self.posts(np.asarray(prediction.post_ids, np.int64), prediction.stats_ts, prediction.request_ts)
        item_side = post_inputs(posts, bundle.priors)
        score = np.zeros(len(posts), np.float32)
        if len(prediction.embedding) and len(posts):
            vectors = bundle.post_tower(post_tower_inputs(posts, item_side))
            score = vectors @ np.asarray(prediction.embedding, np.float32)
        seen = self._creators_of_seen(np.asarray(prediction.seen, np.int64), prediction.request_ts)
        before = (seen[:, None] == posts.creator_id).sum(axis=0)
        context = Context(prediction.request_ts, len(prediction.seen), before)
        return ranker_inputs(user, posts, item_side, score, context, bundle.priors)

    def _creators_of_seen(self, seen: Ids, request_ts: float) -> Ids:
        """The creators of the `seen` posts that can be in the service: live posts at the build, and newer posts that
        were published before the request."""
        rows = self.catalogue.rows_of(seen)
        content = self.catalogue.posts.iloc[rows[rows >= 0]]
        life_s = self.config.world.post_life_h * HOUR_S
        published = content["published_ts"].to_numpy()
        there = (published >= self.world_now - life_s) & (published < request_ts)
        return content["creator_id"].to_numpy(np.int64)[there]
