"""Step `evaluate`: how good is the new model, against the log and against the truth, and may it be released?

Clicks under the ordinary policy say what the old feed liked to show; so the log is read in its randomised bucket,
where every post of the pool had the same chance. The oracle adds what no log can: the value that was missed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from feed_ranking.bundle import Bundle, load_bundle
from feed_ranking.config import FeedConfig
from feed_ranking.domain import RANDOM_POLICY, PostFeatures, UserFeatures
from feed_ranking.features import default_user, open_store, post_tower_inputs, ranker_inputs, user_tower_inputs
from feed_ranking.offline.dataset import join_posts, join_users, live_posts, read_log
from feed_ranking.offline.metrics import auc, excess_log_loss_rows, interval, log_loss_rows
from feed_ranking.world.oracle import Oracle, make_world
from feed_ranking.world.posts import end_ts
from infra.errors import BudgetBroken, CorruptArtifact
from infra.feature_store.port import OfflineFeatures
from infra.figures import Figure, write_figures
from infra.pipeline.steps import Facts, StepContext
from infra.registry.mlflow_registry import MlflowRegistry
from infra.registry.port import ModelVersion

SLATE_USERS, SLATE_POOL, SLATE_SIZE = 300, 1000, 20


class GateRefused(BudgetBroken):
    """The new model is not good enough to be served. The old champion stays."""


@dataclass(frozen=True)
class Holdout:
    """The randomised impressions of the last days with their features as known then."""

    slate: npt.NDArray[np.int64]
    clicked: npt.NDArray[np.float64]
    position: npt.NDArray[np.int64]
    users: UserFeatures
    posts: PostFeatures
    now_ts: npt.NDArray[np.float64]
    truth: npt.NDArray[np.float64]


def gate(context: StepContext) -> Facts:
    """Measure the challenger; make it champion unless it is worse than the champion or than knowing nothing.

    Raises `GateRefused` (exit code 3) otherwise. Writes `figures.json`.
    """
    config: FeedConfig = context.config
    registered = json.loads((context.inputs["train"] / "registered.json").read_text())
    challenger = load_bundle(context.inputs["train"] / "bundle", registered["digest"])
    store = open_store(context.inputs["materialize"])
    oracle = Oracle(make_world(config.world))
    context.report(0.1, "reading the randomised bucket")
    holdout = read_holdout(context.inputs["world"], store, oracle, challenger)
    predicted = predict(challenger, holdout)
    figures = log_figures(holdout, predicted)
    context.report(0.5, "asking the oracle")
    figures += slate_figures(context.inputs["world"], store, oracle, challenger, config)
    write_figures(context.out, figures)

    context.report(0.8, "comparing with the champion")
    registry = MlflowRegistry(context.settings)
    name, version = registered["name"], registered["version"]
    registry.set_alias(name, "challenger", version)
    champion = registry.by_alias(name, "champion")
    models = context.settings.design_root(context.design.name) / "models"
    verdict = check_gate(holdout, predicted, champion, registry, models)
    registry.set_alias(name, "champion", version)
    by_id = {figure.id: round(figure.value, 4) for figure in figures}
    return {"version": version, "gate": verdict, **{k: by_id[k] for k in ("auc", "captured_value")}}


def read_holdout(world: Path, store: OfflineFeatures, oracle: Oracle, bundle: Bundle) -> Holdout:
    log = read_log(world)
    until = pd.Timestamp(bundle.meta["trained_until"])
    log = log[(log["policy"] == RANDOM_POLICY) & (log["request_ts"] >= until)]
    slates = log.drop_duplicates("slate_id")
    slate_of = np.searchsorted(slates["slate_id"].to_numpy(), log["slate_id"].to_numpy())
    users = join_users(store, slates["user_id"], slates["request_ts"], default_user(bundle.meta))
    position = log["position"].to_numpy()
    return Holdout(
        slate=log["slate_id"].to_numpy(),
        clicked=log["clicked"].to_numpy(np.float64),
        position=position,
        users=users.take(slate_of),
        posts=join_posts(store, log["post_id"], log["creator_id"], log["request_ts"]),
        now_ts=log["request_ts"].to_numpy("datetime64[us]").astype(np.int64) / 1e6,
        truth=oracle.p_click(log["user_id"].to_numpy(), log["post_id"].to_numpy(), position),
    )


def predict(bundle: Bundle, holdout: Holdout) -> npt.NDArray[np.float64]:
    """p(click) as shown: relevance times the examination that the model learned for the position."""
    user_vectors = bundle.user_tower(user_tower_inputs(holdout.users))
    post_vectors = bundle.post_tower(post_tower_inputs(holdout.posts, int(bundle.meta["topics"])))
    score = np.einsum("nd,nd->n", user_vectors, post_vectors)
    relevance = bundle.ranker(ranker_inputs(holdout.users, holdout.posts, score, holdout.now_ts))
    p: npt.NDArray[np.float64] = relevance * np.asarray(bundle.meta["examination"])[holdout.position]
    return p


def log_figures(holdout: Holdout, p: npt.NDArray[np.float64]) -> list[Figure]:
    """AUC, calibration and excess log loss on the randomised bucket."""
    clicked, truth = holdout.clicked, holdout.truth

    def figure(id: str, text: str, statistic: object, must: str | None, aim: str | None) -> Figure:
        assert callable(statistic)
        value = statistic(np.arange(len(clicked)))
        low, high = interval(holdout.slate, statistic)
        return Figure(id, text, value, low, high, "", must, aim)

    excess = excess_log_loss_rows(truth, p)
    ignorant = excess_log_loss_rows(truth, np.full_like(p, clicked.mean()))
    return [
        figure("auc", "AUC on the randomised bucket", lambda r: auc(clicked[r], p[r]), ">= 0.6", ">= 0.7"),
        figure(
            "auc_oracle", "AUC that the truth itself reaches there", lambda r: auc(clicked[r], truth[r]), None, None
        ),
        figure(
            "calibration", "predicted clicks / true clicks", lambda r: float(p[r].sum() / truth[r].sum()), None, None
        ),
        figure(
            "excess_log_loss",
            "share of the avoidable log loss that is left (0 = oracle, 1 = one rate for all)",
            lambda r: float(excess[r].sum() / ignorant[r].sum()),
            "<= 0.8",
            "<= 0.5",
        ),
    ]


def slate_figures(
    world: Path, store: OfflineFeatures, oracle: Oracle, bundle: Bundle, config: FeedConfig
) -> list[Figure]:
    """True value of slates ranked by the model, by popularity and at random, as a share of the oracle's gain.

    Same users, same pool (posts alive now), no business rules: this measures the ranker alone.
    """
    now = end_ts(config.world)
    rng = np.random.default_rng(config.world.seed)
    users = np.sort(rng.choice(config.world.users, min(SLATE_USERS, config.world.users), replace=False))
    alive = live_posts(world, now, config.world.post_life_h)
    pool = alive.iloc[np.sort(rng.choice(len(alive), min(SLATE_POOL, len(alive)), replace=False))]
    post_id = pool["post_id"].to_numpy()
    at = pd.to_datetime(pd.Series(np.full(max(len(users), len(pool)), now)), unit="s", utc=True)
    default = default_user(bundle.meta)
    user_features = join_users(store, users, at[: len(users)], default)
    post_features = join_posts(store, post_id, pool["creator_id"], at[: len(pool)])
    user_vectors = bundle.user_tower(user_tower_inputs(user_features))
    post_vectors = bundle.post_tower(post_tower_inputs(post_features, config.world.topics))

    def slate(score: npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
        return post_id[np.argsort(-score, kind="stable")[:SLATE_SIZE]]

    chosen: dict[str, list[npt.NDArray[np.int64]]] = {"random": [], "popularity": [], "ranker": [], "oracle": []}
    for row, user in enumerate(users):
        one = user_features.take(np.array([row]))
        x = ranker_inputs(one, post_features, post_vectors @ user_vectors[row], now)
        chosen["random"].append(slate(rng.random(len(pool))))
        chosen["popularity"].append(slate(post_features.ctr))
        chosen["ranker"].append(slate(bundle.ranker(x)))
        chosen["oracle"].append(slate(oracle.relevance(np.full(len(pool), user), post_id)))
    value = {name: oracle.slate_value(users, np.stack(slates)) for name, slates in chosen.items()}

    def captured(name: str) -> Figure:
        def share(rows: npt.NDArray[np.intp]) -> float:
            gain = value[name][rows].mean() - value["random"][rows].mean()
            return float(gain / (value["oracle"][rows].mean() - value["random"][rows].mean()))

        low, high = interval(np.arange(len(users)), share)
        return Figure("", "", share(np.arange(len(users))), low, high, "")

    popularity, ranker = captured("popularity"), captured("ranker")
    return [
        Figure(
            "captured_value",
            "expected clicks gained over random, as a share of the oracle's gain",
            *(ranker.value, ranker.low, ranker.high, ""),
            must=f">= {popularity.high:.4f}",
        ),
        Figure(
            "captured_value_popularity",
            "the same for ranking by click rate alone",
            *(popularity.value, popularity.low, popularity.high, ""),
        ),
        Figure(
            "oracle_clicks",
            "expected clicks on an oracle slate of 20",
            float(value["oracle"].mean()),
            *interval(np.arange(len(users)), lambda rows: float(value["oracle"][rows].mean())),
            "clicks",
        ),
    ]


def check_gate(
    holdout: Holdout,
    predicted: npt.NDArray[np.float64],
    champion: ModelVersion | None,
    registry: MlflowRegistry,
    models: Path,
) -> str:
    """Raise `GateRefused` if the challenger is clearly worse; otherwise say in a few words why it passes."""
    loss = log_loss_rows(holdout.clicked, predicted)
    constant = log_loss_rows(holdout.clicked, np.full_like(predicted, holdout.clicked.mean()))
    low, high = interval(holdout.slate, lambda rows: float((loss - constant)[rows].mean()))
    if high >= 0:
        raise GateRefused(
            f"the model is not better than one click rate for all: log loss differs by {low:+.5f} to {high:+.5f}",
            hint="look at the training loss; more data (ranker.sample) or epochs may help",
        )
    if champion is None:
        return "first model, better than one rate for all"
    try:
        old = load_bundle(registry.fetch(champion, models), champion.digest)
        before = log_loss_rows(holdout.clicked, predict(old, holdout))
    except (CorruptArtifact, ValueError, IndexError) as exc:
        return f"the champion cannot be compared ({type(exc).__name__}); better than one rate for all"
    low, high = interval(holdout.slate, lambda rows: float((loss - before)[rows].mean()))
    if low > 0:
        raise GateRefused(
            f"worse than champion {champion.version}: log loss differs by {low:+.5f} to {high:+.5f}",
            hint="the champion stays; look at what changed in the data or the configuration",
        )
    return f"not worse than champion {champion.version} ({low:+.5f} to {high:+.5f})"
