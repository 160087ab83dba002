"""Prediction quality on the last day, against the true probabilities: overall, by slice, and against the baselines.

The world provides the true probability of each impression. The figures are expectations under the true probabilities,
without the noise of one day's clicks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ctr_prediction.domain import DEVICES, SLOTS
from ctr_prediction.model.artifact import NETWORKS, Bundle, sigmoid
from ctr_prediction.model.inputs import in_audience
from ctr_prediction.offline.baselines import BASELINES
from ctr_prediction.offline.samples import Sample
from ctr_prediction.offline.train import inputs_of
from infra.evaluation.figures import Figure
from infra.evaluation.resample import ROUNDS, Resample, interval_of
from infra.training.click_metrics import Array, auc_at, excess_log_loss_rows

BINS = 20
NEW_AD_IMPRESSIONS = 300.0
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Truth:
    """The oracle's values for n impressions, float64[n]: `p_click` in the shown slot, and `relevance`."""

    p_click: Array
    relevance: Array


@dataclass(frozen=True)
class Judged:
    """A sample with its true values and the predictions of each model: `p` float64[n] by name, in the shown slot;
    `relevance` float64[n] of the teacher and of the naive model: p(click | examined)."""

    sample: Sample
    truth: Truth
    p: Mapping[str, Array]
    relevance: Mapping[str, Array]


def judge(bundle: Bundle, sample: Sample, truth: Truth, baselines: Mapping[str, Array]) -> Judged:
    x = {name: inputs_of(model, sample) for name, model in (("d", bundle.debiased), ("u", bundle.undebiased))}
    of = {name: x["u" if name == "naive" else "d"] for name in NETWORKS}
    p = {
        name: bundle.p_click(name, getattr(bundle, name)(of[name]), sample.slot).astype(np.float64) for name in NETWORKS
    }
    relevance = {name: sigmoid(getattr(bundle, name)(of[name])).astype(np.float64) for name in ("teacher", "naive")}
    return Judged(sample, truth, {**p, **baselines}, relevance)


def student_p(bundle: Bundle, sample: Sample) -> Array:
    """float64[n]: the student's p(click) of each impression in its slot."""
    z = bundle.student(inputs_of(bundle.debiased, sample))
    return bundle.p_click("student", z, sample.slot).astype(np.float64)


def expected_auc(truth: Array, score: Array) -> float:
    """P(a click scores higher than an impression without a click), if each impression is a click with probability
    `truth`: the expected AUC over many such days, with ties counted half."""
    return auc_at(np.unique(score, return_inverse=True)[1], truth, np.ones_like(truth))


def calibration_error(p: Array, truth: Array) -> float:
    """Mean absolute gap between predicted and true probability in `BINS` bins with equal numbers of impressions,
    relative to the mean true probability (an expected calibration error against known probabilities). It has no
    interval, because resampling adds gaps and thereby always increases the mean absolute gap."""
    parts = np.array_split(np.argsort(p, kind="stable"), BINS)
    gaps = [abs(float(p[part].mean() - truth[part].mean())) for part in parts if len(part)]
    return float(np.mean(gaps) / truth.mean())


def reliability(p: Array, truth: Array) -> list[tuple[float, float, int]]:
    """(mean prediction, mean true probability, impressions) of each bin."""
    parts = np.array_split(np.argsort(p, kind="stable"), BINS)
    return [(float(p[part].mean()), float(truth[part].mean()), len(part)) for part in parts if len(part)]


def slices(sample: Sample) -> dict[str, Bools]:
    """bool[n] masks of slices on which models usually do worse or matter most."""
    found = {
        "new_users": sample.users.shown.sum(axis=1) == 0,
        "new_ads": sample.ads.shown.sum(axis=1) < NEW_AD_IMPRESSIONS,
        "audience": in_audience(sample.users),
    }
    found |= {f"slot_{slot}": sample.slot == slot for slot in range(SLOTS)}
    return found | {name: sample.context.device == number for number, name in enumerate(DEVICES)}


def holdout_figures(holdout: Judged, bucket: Judged) -> list[Figure]:
    """The figures, with 95% intervals from resampling requests."""
    p, truth = holdout.p, holdout.truth.p_click
    clicked, resample = holdout.sample.clicked.astype(np.float64), Resample.of(holdout.sample.request_id)
    excess = excess_log_loss_rows(truth, p["student"])
    constant = excess_log_loss_rows(truth, np.full_like(truth, truth.mean()))
    figures = [
        resample.ratio(
            "log_loss_gap_closed",
            "closed share of the avoidable log loss (0: constant click rate, 1: oracle), all traffic of a day",
            constant - excess,
            constant,
        ),
        _gap_in_the_bucket(bucket),
        resample.figure("auc", "AUC of the day's clicks", _auc_of(p["student"], clicked)),
        resample.figure(
            "auc_expected", "expected AUC of the student under the true probabilities", _auc_of(p["student"], truth)
        ),
        resample.figure("auc_oracle", "expected AUC of the true probabilities", _auc_of(truth, truth)),
        *auc_gains(holdout, resample),
    ]
    figures += calibration(p["student"], truth, slices(holdout.sample), resample)
    return [*figures, *debias_gain(holdout, bucket)]


def calibration(p: Array, truth: Array, parts: Mapping[str, Bools], resample: Resample) -> list[Figure]:
    """Figures of predicted / true clicks, overall and for every slice that is large enough for bins."""
    text = f"mean gap to the true probability in {BINS} equal bins, relative to the mean"
    figures = [
        resample.ratio("calibration_ratio", "predicted / true clicks", p, truth),
        resample.figure(
            "calibration_off",
            "distance of predicted / true clicks from 1",
            lambda weight: abs(float(weight @ p) / float(weight @ truth) - 1),
            "<= 0.02",
        ),
        _plain("calibration_error", text, calibration_error(p, truth), "<= 0.05"),
    ]
    for name, rows in parts.items():
        if rows.sum() >= 50 * BINS:
            words, part = name.replace("_", " "), resample.among(rows)
            error = calibration_error(p[rows], truth[rows])
            figures += [
                part.ratio(f"calibration_ratio_{name}", f"predicted / true clicks: {words}", p[rows], truth[rows]),
                _plain(f"calibration_error_{name}", f"mean gap to the true probability in bins: {words}", error),
            ]
    return figures


def auc_gains(holdout: Judged, resample: Resample) -> list[Figure]:
    """Gain in expected AUC of the student over each baseline, and the share of the teacher's gain that the student
    keeps."""
    p, truth = holdout.p, holdout.truth.p_click
    names = ("student", "teacher", *BASELINES)
    places = [np.unique(p[name], return_inverse=True)[1] for name in names]
    weights = resample.weights(ROUNDS)
    rounds = np.array([[auc_at(place, truth, weight) for place in places] for weight in weights])
    whole = np.array([expected_auc(truth, p[name]) for name in names])
    figures, lowest = [], np.inf
    for place, name in enumerate(BASELINES, start=2):
        gain = rounds[:, 0] - rounds[:, place]
        low, high = interval_of(gain)
        lowest = min(lowest, low)
        text = f"AUC over {name.replace('_', ' ')} alone" if "only" in name else f"AUC over {name}"
        figures.append(Figure(f"auc_gain_{name}", text, whole[0] - whole[place], low, high, "", ">= 0"))
    lr = names.index("lr")
    kept = (rounds[:, 0] - rounds[:, lr]) / (rounds[:, 1] - rounds[:, lr])
    value = (whole[0] - whole[lr]) / (whole[1] - whole[lr])
    low, high = interval_of(kept)
    return [
        *figures,
        _plain("auc_gains_sure", "lower end of the interval of the smallest AUC gain", float(lowest), ">= 0"),
        Figure(
            "student_keeps", "the student's gain over LR / the teacher's", value, low, high, "", ">= 0.95", ">= 0.98"
        ),
    ]


def debias_gain(holdout: Judged, bucket: Judged) -> list[Figure]:
    """Gain in rank correlation with true relevance of the debiased model over the naive model."""
    text = "rank correlation with true relevance: debiased minus naive"
    gain = _debias_gain("debias_gain", f"{text}, randomised traffic", bucket, ROUNDS, ">= 0")
    return [
        gain,
        _plain("debias_gain_low", "lower end of the interval of debias_gain", gain.low, ">= 0"),
        _debias_gain("debias_gain_all", f"{text}, all traffic of the day", holdout, ROUNDS // 4),
    ]


def _debias_gain(id: str, text: str, judged: Judged, rounds: int, must: str | None = None) -> Figure:
    truth, *found = (
        np.unique(values, return_inverse=True)[1]
        for values in (judged.truth.relevance, judged.relevance["teacher"], judged.relevance["naive"])
    )

    def gain(weight: Array) -> float:
        true_ranks = weighted_ranks(truth, weight)
        debiased, naive = (weighted_correlation(true_ranks, weighted_ranks(place, weight), weight) for place in found)
        return debiased - naive

    resample = Resample.of(judged.sample.request_id)
    low, high = interval_of([gain(weight) for weight in resample.weights(rounds)])
    return Figure(id, text, gain(np.ones(len(truth))), low, high, "", must)


def weighted_ranks(place: npt.NDArray[np.intp], weight: Array) -> Array:
    """float64[n]: the mean rank of each row if row i occurs `weight[i]` times; ties share their mean rank.

    `place` int64[n] is the rank of each row's value among the distinct values. One sort serves all draws.
    """
    count = np.bincount(place, weight)
    ranks: Array = (np.cumsum(count) - count + (count + 1) / 2)[place]
    return ranks


def weighted_correlation(x: Array, y: Array, weight: Array) -> float:
    """Pearson correlation of the rows, if row i occurs `weight[i]` times."""
    x, y = (values - np.average(values, weights=weight) for values in (x, y))
    return float((weight * x * y).sum() / np.sqrt((weight * x * x).sum() * (weight * y * y).sum()))


def _gap_in_the_bucket(bucket: Judged) -> Figure:
    truth = bucket.truth.p_click
    constant = excess_log_loss_rows(truth, np.full_like(truth, truth.mean()))
    gone = constant - excess_log_loss_rows(truth, bucket.p["student"])
    resample = Resample.of(bucket.sample.request_id)
    return resample.ratio(
        "log_loss_gap_closed_bucket", "closed share of the avoidable log loss, randomised traffic", gone, constant
    )


def _auc_of(score: Array, truth: Array) -> Callable[[Array], float]:
    """The AUC as a function of impression weights; `truth` holds probabilities or observed clicks."""
    place = np.unique(score, return_inverse=True)[1]
    return lambda weight: auc_at(place, truth, weight)


def _plain(id: str, text: str, value: float, must: str | None = None) -> Figure:
    return Figure(id, text, float(value), float(value), float(value), "", must)
