"""The ceiling: the largest share of the avoidable log loss that any model can close by learning from this log.

The best possible model has the rules of the world and all of its parameters except those of one kind, such as the click
rate of each user. It infers that kind from the history by Bayes' rule. No model can have a lower log loss. By the chain
rule of information, the losses of several kinds approximately add up. Each loss is measured with the parameters of the
other kinds given, which makes it smaller. One minus the sum of the losses is therefore an upper bound, and a loose one.
The ceiling ignores clicks of the evaluated day; models receive the clicks on ads a quarter of a day later.

The posteriors of users, ads and crosses are computed on a grid of values. The posterior of a creative's vector is a
Laplace approximation around its mode (MacKay, Information Theory, Inference, and Learning Algorithms, 2003, chapter
27). The ceiling is not a build step: `lab evaluate` computes it (`evaluation/knowable.py`), and
`python -m ctr_prediction.evaluation.studies.ceiling` prints it by kind for the log of the last build.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

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
"""number of grid values of a normal prior; half width of the grid in standard deviations; nodes of the Gauss-Hermite
quadrature over a creative's score; maximum number of Newton steps.
`tests/unit/ctr_prediction/evaluation/test_ceiling.py` freezes these values."""
COLUMNS = ("user_id", "ad_id", "publisher_id", "device", "seen", "slot", "request_ts", "clicked")


@dataclass(frozen=True)
class Shown:
    """n impressions with their true `logit` of p(click | examined) and `examination`, p(examined), float64[n].

    `clicked` is bool[n] for impressions of the history, and None for impressions to predict.
    """

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
    """One unknown parameter for each of `count` groups, with its prior: `values` and `weights` float64[k].

    `group` int64[n] and `true` float64[n] (the true contribution of the parameter to the logit) are pairs: one array
    for the history and one for the impressions to predict.
    """

    count: int
    values: Array
    weights: Array
    group: tuple[Ints, Ints]
    true: tuple[Array, Array]


def normal(spread: float) -> tuple[Array, Array]:
    """(values, weights), float64[GRID]: a normal prior with mean 0 on a grid."""
    x = np.linspace(-WIDTH, WIDTH, GRID)
    weights = np.exp(-(x**2) / 2)
    return x * spread, weights / weights.sum()


def unknowns(world: World, history: Shown, later: Shown) -> Iterator[tuple[str, Unknown]]:
    """(name, prior) of each kind with one parameter per group: users, ads, and pairs of a segment and an ad."""
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
    """float64[n]: p(click) of each impression of `later`, under the posterior of the unknown parameters given the
    `history`."""
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
    """float64[n]: p(click) of each impression of `later` if only the vectors of creatives are unknown. Their prior is
    the standard normal distribution."""
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
    """float64[n, latent]: the derivative of the logit with respect to each component of the creative's vector."""
    affinity, segment = world.affinity, world.people.segment[shown.user]
    angle = (affinity.radians_per_s * (shown.at_ts - affinity.start_ts))[:, None]
    found: Array = np.cos(angle) * affinity.segment[segment] + np.sin(angle) * affinity.turned[segment]
    return world.config.latent_click * found


def _laplace(x: Array, rest: Array, examined: Array, clicked: Array) -> tuple[Array, Array]:
    """(mode, covariance) of the posterior. Newton steps use the expected curvature and are at most one standard
    deviation of the prior long."""
    mode: Array = np.zeros(x.shape[1])
    curvature: Array = np.eye(x.shape[1])
    for _ in range(STEPS):
        relevance = sigmoid(rest + x @ mode)
        p, left = examined * relevance, 1 - relevance
        slope = x.T @ np.where(clicked, left, -p * left / (1 - p)) - mode
        curvature = x.T @ ((p * left**2 / (1 - p))[:, None] * x) + np.eye(x.shape[1])
        step = np.linalg.solve(curvature, slope)
        mode = mode + step / max(1.0, float(np.linalg.norm(step)))
        if np.abs(step).max() < 1e-6:
            break
    return mode, np.asarray(np.linalg.inv(curvature), np.float64)


def lost_rows(world: World, history: Shown, later: Shown) -> dict[str, Array]:
    """Kind of parameter -> float64[n]: the excess log loss of each impression of `later`, in nats, if only the
    parameters of this kind are unknown and inferred from the `history`."""
    p = {name: predicted(unknown, history, later) for name, unknown in unknowns(world, history, later)}
    p["creatives"] = predicted_by_creatives(world, history, later)
    return {name: excess_log_loss_rows(later.p_click, of) for name, of in p.items()}


def ceilings(world: World, history: Shown, later: Shown) -> dict[str, float]:
    """Kind -> share of the avoidable log loss that a model can close if only this kind is unknown; `together` if all
    kinds are unknown."""
    truth = later.p_click
    constant = excess_log_loss_rows(truth, np.full_like(truth, truth.mean())).sum()
    lost = {name: float(rows.sum() / constant) for name, rows in lost_rows(world, history, later).items()}
    return {name: 1 - share for name, share in lost.items()} | {"together": 1 - sum(lost.values())}


def history_files(world: Path) -> list[Path]:
    """The files of the generated log, one per day, without the days of the holdout."""
    return sorted((world / "log").glob("date=*/part-0.parquet"))[:-HOLDOUT_DAYS]


def read_history(world: World, files: Sequence[Path]) -> Shown:
    """All impressions in these log files, with their clicks."""
    log = pa.concat_tables(pq.read_table(file, partitioning=None, columns=list(COLUMNS)) for file in files)
    column = {name: log[name].to_numpy() for name in COLUMNS}
    where = Context(column["publisher_id"], column["device"], seconds(column["request_ts"]), column["seen"])
    return Shown.of(world, column["user_id"], column["ad_id"], where, column["slot"], column["clicked"])


def shown_in(world: World, sample: Sample) -> Shown:
    """The impressions of a sample to predict, without their clicks."""
    where = Context(sample.context.publisher, sample.context.device, sample.context.at_ts, sample.seen)
    return Shown.of(world, sample.user_id, sample.ad_id, where, sample.slot, None)


def main() -> None:
    settings, config = Settings(), PRESETS[Settings().preset]
    paths = step_paths(DESIGN, settings)
    if not paths["sample"].exists():
        raise SystemExit("nothing is built yet; run: lab build ctr_prediction")
    world = make_world(config.world)
    history = read_history(world, history_files(paths["world"]))
    later = shown_in(world, Sample.read(paths["sample"] / "holdout.npz"))
    for name, share in ceilings(world, history, later).items():
        print(f"{name}: {share:.4f} of the avoidable log loss can be closed")


if __name__ == "__main__":
    main()
