"""How much of the avoidable log loss could anyone close, on this log?

Somebody who knows the rules of the world and all of its numbers but those of one kind (how much each user clicks, say)
can learn these from the history by Bayes' rule; nobody can know more of them. What is still lost then is lost to every
model. By the chain rule of information the losses of several kinds add up, nearly: each is measured as if the others
were known, which makes it smaller. So one less their sum is a ceiling for `log_loss_gap_closed`, and a generous one.
What clicks of the day itself would tell is left out: models hear of those on ads, a quarter of a day later.

Users, ads and crosses are worked out on a grid of values; a creative's vector by Laplace's approximation around its
most likely value (MacKay, Information Theory, Inference, and Learning Algorithms, 2003, chapter 27). No step of the
build: `python -m ctr_prediction.evaluation.studies.ceiling` reads the log of the last one, and prints its figures.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ctr_prediction.config import PRESETS
from ctr_prediction.design import DESIGN
from ctr_prediction.domain import Array, Ints
from ctr_prediction.offline.samples import HOLDOUT_DAYS, Sample
from ctr_prediction.world.clicks import sigmoid
from ctr_prediction.world.examination import examination
from ctr_prediction.world.oracle import Context, Oracle
from ctr_prediction.world.truth import World, make_world
from infra.build.fingerprints import step_paths
from infra.columns import seconds
from infra.settings import Settings
from infra.training.click_metrics import excess_log_loss_rows

GRID, WIDTH, NODES, STEPS = 57, 3.5, 15, 30


@dataclass(frozen=True)
class Shown:
    """n impressions and what is true of them: `logit` of p(click | looked at) and `looks`, p(looked at), float64[n];
    `clicked` bool[n], where it is known."""

    user: Ints
    ad: Ints
    at_ts: Array
    logit: Array
    examination: Array
    clicked: Array | None = None

    @classmethod
    def of(cls, world: World, user: Ints, ad: Ints, context: Context, slot: Ints, clicked: Array | None) -> Shown:
        relevance = Oracle(world).relevance(user, ad, context)
        at_ts = np.asarray(context.at_ts)
        return cls(user, ad, at_ts, np.log(relevance / (1 - relevance)), examination(world.config, slot), clicked)

    @property
    def p_click(self) -> Array:
        found: Array = self.examination * sigmoid(self.logit)
        return found


@dataclass(frozen=True)
class Unknown:
    """One number for each of `count` groups, of which only the prior is known: `values` and `weights` float64[k].
    `group` int64[n] and `true` float64[n], what it adds to the logit, are those of the history and of what is to be
    predicted."""

    count: int
    values: Array
    weights: Array
    group: tuple[Ints, Ints]
    true: tuple[Array, Array]


def normal(spread: float) -> tuple[Array, Array]:
    x = np.linspace(-WIDTH, WIDTH, GRID)
    weights = np.exp(-(x**2) / 2)
    return x * spread, weights / weights.sum()


def unknowns(world: World, history: Shown, later: Shown) -> Iterator[tuple[str, Unknown]]:
    """Each kind of number that stands alone."""
    config, segment = world.config, world.people.segment
    for name, spread, table, group in (
        ("users", config.user_click, world.people.leaning, (history.user, later.user)),
        ("ads", config.ad_click, world.ads.leaning, (history.ad, later.ad)),
    ):
        yield name, Unknown(len(table), *normal(spread), group, (table[group[0]], table[group[1]]))
    planted = config.cross_click * world.crosses.ravel().astype(np.float64)
    values, weights = np.array([0.0, config.cross_click]), np.array([1 - config.cross_share, config.cross_share])
    pair, later_pair = (segment[of.user] * world.crosses.shape[1] + of.ad for of in (history, later))
    group = (pair, later_pair)
    yield "crosses", Unknown(len(planted), values, weights, group, (planted[pair], planted[later_pair]))


def predicted(unknown: Unknown, history: Shown, later: Shown) -> Array:
    """float64[n]: p(click) of what comes `later`, by the posterior of the unknown after the `history`."""
    assert history.clicked is not None
    log_odds = np.tile(np.log(unknown.weights), (unknown.count, 1))
    for column, value in enumerate(unknown.values):
        p = history.examination * sigmoid(history.logit - unknown.true[0] + value)
        log_p = np.where(history.clicked, np.log(p), np.log1p(-p))
        log_odds[:, column] += np.bincount(unknown.group[0], log_p, unknown.count)
    posterior = np.exp(log_odds - log_odds.max(axis=1, keepdims=True))
    posterior /= posterior.sum(axis=1, keepdims=True)
    rest = later.logit - unknown.true[1]
    each = (posterior[unknown.group[1], k] * sigmoid(rest + value) for k, value in enumerate(unknown.values))
    return later.examination * np.sum(list(each), axis=0)


def predicted_by_creatives(world: World, history: Shown, later: Shown) -> Array:
    """The same where all is known but the vectors of creatives, whose prior is the standard normal."""
    assert history.clicked is not None
    config, found = world.config, np.zeros(len(later.logit))
    creative, asked = (world.ads.creative[of.ad] for of in (history, later))
    taste, later_taste = (_tastes(world, of) for of in (history, later))
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    for one in range(config.creatives):
        rows, mine = np.flatnonzero(creative == one), np.flatnonzero(asked == one)
        true = world.affinity.creative[one]
        x, q = taste[rows], later_taste[mine]
        mode, spread = _laplace(x, history.logit[rows] - x @ true, history.examination[rows], history.clicked[rows])
        middle = later.logit[mine] + q @ (mode - true)
        sd = np.sqrt(np.einsum("ij,jk,ik->i", q, spread, q))
        relevance = sigmoid(middle[:, None] + sd[:, None] * nodes) @ (weights / weights.sum())
        found[mine] = later.examination[mine] * relevance
    return found


def _tastes(world: World, shown: Shown) -> Array:
    """float64[n, latent]: what a unit of each of a creative's numbers adds to the logit."""
    affinity, segment = world.affinity, world.people.segment[shown.user]
    angle = (affinity.radians_per_s * (shown.at_ts - affinity.start_ts))[:, None]
    found: Array = np.cos(angle) * affinity.segment[segment] + np.sin(angle) * affinity.turned[segment]
    return world.config.latent_click * found


def _laplace(x: Array, rest: Array, looks: Array, clicked: Array) -> tuple[Array, Array]:
    """The most likely vector, and the covariance around it: Newton's steps with the expected curvature, none longer
    than the prior's sd."""
    mode: Array = np.zeros(x.shape[1])
    curvature: Array = np.eye(x.shape[1])
    for _ in range(STEPS):
        relevance = sigmoid(rest + x @ mode)
        p, left = looks * relevance, 1 - relevance
        slope = x.T @ np.where(clicked, left, -p * left / (1 - p)) - mode
        curvature = x.T @ ((p * left**2 / (1 - p))[:, None] * x) + np.eye(x.shape[1])
        step = np.linalg.solve(curvature, slope)
        mode = mode + step / max(1.0, float(np.linalg.norm(step)))
        if np.abs(step).max() < 1e-6:
            break
    return mode, np.asarray(np.linalg.inv(curvature), np.float64)


def ceilings(world: World, history: Shown, later: Shown) -> dict[str, float]:
    """Share of the avoidable log loss that can be closed where only this is unknown; `together` where all of it is."""
    truth = later.p_click
    constant = excess_log_loss_rows(truth, np.full_like(truth, truth.mean())).sum()
    said = {name: predicted(unknown, history, later) for name, unknown in unknowns(world, history, later)}
    said["creatives"] = predicted_by_creatives(world, history, later)
    lost = {name: float(excess_log_loss_rows(truth, p).sum() / constant) for name, p in said.items()}
    return {name: 1 - share for name, share in lost.items()} | {"together": 1 - sum(lost.values())}


def main() -> None:
    settings, config = Settings(), PRESETS[Settings().preset]
    paths = step_paths(DESIGN, settings)
    if not paths["sample"].exists():
        raise SystemExit("nothing is built yet; run: lab build ctr_prediction")
    world = make_world(config.world)
    files = sorted((paths["world"] / "log").glob("date=*/part-0.parquet"))[:-HOLDOUT_DAYS]
    log = pa.concat_tables(pq.read_table(file, partitioning=None).drop_columns(["policy"]) for file in files)
    column = {name: log[name].to_numpy() for name in ("user_id", "ad_id", "publisher_id", "device", "seen", "slot")}
    where = Context(column["publisher_id"], column["device"], seconds(log["request_ts"].to_numpy()), column["seen"])
    clicked = log["clicked"].to_numpy()
    history = Shown.of(world, column["user_id"], column["ad_id"], where, column["slot"], clicked)
    holdout = Sample.read(paths["sample"] / "holdout.npz")
    where = Context(holdout.context.publisher, holdout.context.device, holdout.context.at_ts, holdout.seen)
    later = Shown.of(world, holdout.user_id, holdout.ad_id, where, holdout.slot, None)
    for name, share in ceilings(world, history, later).items():
        print(f"{name}: {share:.4f} of the avoidable log loss can be closed")


if __name__ == "__main__":
    main()
