"""What was planted in the world is what the model learns, and each of its parts learns what it is there for.

All is measured on the day after, against the truth, which only the world knows. Excess is the log loss that a model
could have avoided, as a share of what one number for all impressions would have lost.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import spearmanr

from ctr_prediction.domain import SLOTS
from ctr_prediction.model.inputs import in_audience
from ctr_prediction.world.examination import examination
from infra.training.click_metrics import excess_log_loss_rows
from tests.support.ctr_learned import CONFIG, Learned, learned, split, unseen, world

Bools = npt.NDArray[np.bool_]


def excess(of: Learned, rows: Bools | None = None) -> float:
    p_click = split().p_click
    rows = np.ones(len(p_click), bool) if rows is None else rows
    assert rows.sum() > 1000, "too few to tell"
    constant = excess_log_loss_rows(p_click, np.full_like(p_click, p_click.mean()))
    return float(of.excess[rows].sum() / constant[rows].sum())


def truly_crossed() -> Bools:
    """Pairs of segment and ad that have something of their own and were in the training."""
    later = split().later
    return world().crosses[later.users.segment, later.ad_id] & ~never_met()


def never_met() -> Bools:
    """Segments and creatives that no impression of the training brought together."""
    later = split().later
    return unseen()[later.users.segment, later.ads.creative]


def test_no_row_of_the_training_is_of_a_pair_that_is_called_unseen() -> None:
    train = split().train
    assert not unseen()[train.users.segment, train.ads.creative].any()
    assert never_met().mean() > 0.05
    assert train.context.at_ts.max() < split().later.context.at_ts.min()


def test_the_truth_itself_has_no_excess_and_the_model_closes_most_of_it() -> None:
    p_click = split().p_click
    assert np.abs(excess_log_loss_rows(p_click, p_click)).max() < 1e-9
    assert 0 < excess(learned()) < 0.25
    assert learned().p.mean() == pytest.approx(p_click.mean(), rel=0.06), (
        "though most of what was not clicked is missing"
    )


def test_how_often_each_slot_is_looked_at_is_recovered() -> None:
    planted = examination(CONFIG.world, np.arange(SLOTS))
    assert learned().examination[0] == 1.0
    np.testing.assert_allclose(learned().examination, planted, atol=0.06)
    assert learned(use_position=False).examination.tolist() == [1.0] * SLOTS


def test_who_knows_of_slots_orders_ads_better_where_chance_had_placed_them() -> None:
    bucket, relevance = split().is_random, split().relevance
    debiased, naive = (
        spearmanr(of.z[bucket], relevance[bucket]).statistic for of in (learned(), learned(use_position=False))
    )
    assert debiased > naive + 0.015
    assert excess(learned(), bucket) < 0.8 * excess(learned(use_position=False), bucket)


def test_the_wide_part_remembers_pairs_that_no_vector_explains() -> None:
    crossed, without = truly_crossed(), learned(use_wide=False)
    truth = np.log(split().relevance / (1 - split().relevance))
    assert excess(learned(), crossed) < 0.8 * excess(without, crossed)
    missed, missed_without = (float((of.z - truth)[crossed].mean()) for of in (learned(), without))
    assert missed_without < -0.35, "without it, much of what is planted is not seen"
    assert abs(missed) < 0.35 * abs(missed_without)
    longer, longer_without = learned(small_batches=True), learned(small_batches=True, use_wide=False)
    assert excess(longer, crossed) < 0.6 * excess(longer_without, crossed)


def test_the_deep_part_knows_something_of_pairs_that_nobody_has_seen_and_the_wide_part_nothing() -> None:
    later, rows = split().later, never_met() & ~world().crosses[split().later.users.segment, split().later.ad_id]
    deep, wide = learned(use_wide=False), learned(use_deep=False)
    assert excess(deep, rows) < 0.6 * excess(wide, rows)
    taste = world().affinity.fit(later.users.segment, later.ads.creative, later.context.at_ts)[rows]
    assert np.corrcoef(deep.z[rows], taste)[0, 1] > 0.3
    assert abs(np.corrcoef(wide.z[rows], taste)[0, 1]) < 0.12


def test_both_parts_together_are_better_than_either() -> None:
    both = excess(learned())
    assert both < 0.95 * excess(learned(use_wide=False))
    assert both < 0.6 * excess(learned(use_deep=False))


def test_to_remember_everyones_pairs_with_ads_is_to_learn_noise_by_heart() -> None:
    """The training loss falls, and the day after is predicted worse."""
    outside, outside_later = (~in_audience(sample.users) for sample in (split().train, split().later))
    everyone, audience = learned(user_cross="all"), learned()
    assert everyone.fitted[outside].mean() < 0.95 * audience.fitted[outside].mean()
    assert excess(everyone, outside_later) > 1.1 * excess(audience, outside_later)


def test_to_remember_the_audiences_pairs_with_ads_pays_whoever_is_told_nothing_of_them() -> None:
    inside = in_audience(split().later.users)
    untold, nothing = learned(has_retargeting=False), learned(user_cross="none", has_retargeting=False)
    assert excess(untold, inside) < 0.95 * excess(nothing, inside)
    follows = world().retargeting.is_retargeted(split().later.user_id, split().later.ad_id)
    with_it, without = (float(of.p[follows].mean()) for of in (untold, nothing))
    true = float(split().p_click[follows].mean())
    assert 1.15 * without < with_it < true


def test_to_be_told_who_has_been_at_an_ads_shop_pays_more_and_says_how_much_oftener_they_click() -> None:
    later = split().later
    inside, follows = in_audience(later.users), world().retargeting.is_retargeted(later.user_id, later.ad_id)
    told = learned(user_cross="none")
    assert excess(told, inside) < 0.7 * excess(learned(has_retargeting=False), inside)
    assert told.p[follows].mean() == pytest.approx(split().p_click[follows].mean(), rel=0.2)
    weights = told.fit.tables["retargeted"][:, 0]
    assert weights[1] - weights[0] == pytest.approx(CONFIG.world.retargeted_click, abs=0.7)
