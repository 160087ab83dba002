"""The click model recovers the planted parameters of the world, and each part of the network learns its own task.

The tests compare predictions for the last day with the true click probabilities. Excess is the avoidable log loss of a
model as a share of the avoidable log loss of a constant prediction.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import spearmanr

from ctr_prediction.domain import SLOTS
from ctr_prediction.model.inputs import in_audience
from ctr_prediction.offline.train import at_most
from ctr_prediction.world.examination import examination
from infra.training.click_metrics import excess_log_loss_rows
from tests.support.ctr_learned import CONFIG, Learned, learned, split, unseen, world

Bools = npt.NDArray[np.bool_]


def excess(of: Learned, rows: Bools | None = None) -> float:
    p_click = split().p_click
    rows = np.ones(len(p_click), bool) if rows is None else rows
    assert rows.sum() > 1000, "too few rows to judge"
    constant = excess_log_loss_rows(p_click, np.full_like(p_click, p_click.mean()))
    return float(of.excess[rows].sum() / constant[rows].sum())


def crossed_rows() -> Bools:
    """Return the rows with a planted cross effect of segment and ad whose pair occurs in training."""
    later = split().later
    return world().crosses[later.users.segment, later.ad_id] & ~unseen_rows()


def unseen_rows() -> Bools:
    """Return the rows whose pair of segment and creative does not occur in training."""
    later = split().later
    return unseen()[later.users.segment, later.ads.creative]


def test_training_rows_exclude_unseen_pairs_and_the_last_day() -> None:
    train = split().train
    assert not unseen()[train.users.segment, train.ads.creative].any()
    assert unseen_rows().mean() > 0.05
    assert train.context.at_ts.max() < split().later.context.at_ts.min()


def test_a_large_sample_teaches_the_student_with_a_random_part_of_its_rows() -> None:
    train = split().train
    part = at_most(train, 1000, seed=3)
    assert len(np.unique(part.impression_id)) == len(part) == 1000
    place = np.searchsorted(train.impression_id, part.impression_id)
    np.testing.assert_array_equal(train.user_id[place], part.user_id)
    assert part.clicked.mean() == pytest.approx(train.clicked.mean(), abs=0.06)
    assert at_most(train, len(train), seed=3) is train


def test_excess_loss_is_zero_for_the_truth_and_small_for_the_model() -> None:
    p_click = split().p_click
    assert np.abs(excess_log_loss_rows(p_click, p_click)).max() < 1e-9
    assert 0 < excess(learned()) < 0.25
    assert learned().p.mean() == pytest.approx(p_click.mean(), rel=0.06), "the loss corrects for the missing negatives"


def test_model_recovers_the_examination_probability_of_each_slot() -> None:
    planted = examination(CONFIG.world, np.arange(SLOTS))
    assert learned().examination[0] == 1.0
    np.testing.assert_allclose(learned().examination, planted, atol=0.06)
    assert learned(use_position=False).examination.tolist() == [1.0] * SLOTS


def test_position_input_improves_the_ranking_in_the_randomised_bucket() -> None:
    bucket, relevance = split().is_random, split().relevance
    debiased, naive = (
        spearmanr(of.z[bucket], relevance[bucket]).statistic for of in (learned(), learned(use_position=False))
    )
    assert debiased > naive + 0.015
    assert excess(learned(), bucket) < 0.8 * excess(learned(use_position=False), bucket)


def test_wide_part_learns_planted_cross_effects() -> None:
    crossed, without = crossed_rows(), learned(use_wide=False)
    truth = np.log(split().relevance / (1 - split().relevance))
    assert excess(learned(), crossed) < 0.8 * excess(without, crossed)
    missed, missed_without = (float((of.z - truth)[crossed].mean()) for of in (learned(), without))
    assert missed_without < -0.35, "without the wide part, the log-odds of crossed pairs are too low"
    assert abs(missed) < 0.35 * abs(missed_without)
    longer, longer_without = learned(small_batches=True), learned(small_batches=True, use_wide=False)
    assert excess(longer, crossed) < 0.6 * excess(longer_without, crossed)


def test_deep_part_generalises_to_unseen_pairs_and_the_wide_part_does_not() -> None:
    later, rows = split().later, unseen_rows() & ~world().crosses[split().later.users.segment, split().later.ad_id]
    deep, wide = learned(use_wide=False), learned(use_deep=False)
    assert excess(deep, rows) < 0.6 * excess(wide, rows)
    taste = world().affinity.fit(later.users.segment, later.ads.creative, later.context.at_ts)[rows]
    assert np.corrcoef(deep.z[rows], taste)[0, 1] > 0.3
    assert abs(np.corrcoef(wide.z[rows], taste)[0, 1]) < 0.12


def test_wide_and_deep_together_are_better_than_either_part() -> None:
    both = excess(learned())
    assert both < 0.95 * excess(learned(use_wide=False))
    assert both < 0.6 * excess(learned(use_deep=False))


def test_user_crosses_for_all_users_overfit() -> None:
    """The training loss falls, and the loss on the next day rises."""
    outside, outside_later = (~in_audience(sample.users) for sample in (split().train, split().later))
    everyone, audience = learned(user_cross="all"), learned()
    assert everyone.fitted[outside].mean() < 0.95 * audience.fitted[outside].mean()
    assert excess(everyone, outside_later) > 1.1 * excess(audience, outside_later)


def test_user_crosses_for_audiences_help_without_the_retargeting_input() -> None:
    inside = in_audience(split().later.users)
    crossed, plain = learned(use_retargeting=False), learned(user_cross="none", use_retargeting=False)
    assert excess(crossed, inside) < 0.95 * excess(plain, inside)
    follows = world().retargeting.is_retargeted(split().later.user_id, split().later.ad_id)
    with_it, without = (float(of.p[follows].mean()) for of in (crossed, plain))
    true = float(split().p_click[follows].mean())
    assert 1.15 * without < with_it < true


def test_retargeting_input_reduces_the_loss_and_recovers_the_planted_weight() -> None:
    later = split().later
    inside, follows = in_audience(later.users), world().retargeting.is_retargeted(later.user_id, later.ad_id)
    retargeted = learned(user_cross="none")
    assert excess(retargeted, inside) < 0.7 * excess(learned(use_retargeting=False), inside)
    assert retargeted.p[follows].mean() == pytest.approx(split().p_click[follows].mean(), rel=0.2)
    weights = retargeted.fit.tables["retargeted"][:, 0]
    assert weights[1] - weights[0] == pytest.approx(CONFIG.world.retargeted_click, abs=0.7)
