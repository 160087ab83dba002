"""Rows pushed by the worker and read by the service equal the recount of `lab skew`, which names differing features."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from ctr_prediction.config import SMOKE
from ctr_prediction.domain import AdFeatures, UserFeatures
from ctr_prediction.evaluation.live.recompute import FeatureRecount, not_recomputable
from ctr_prediction.evaluation.live.skew import columns_of_users
from ctr_prediction.events.codec import pack
from ctr_prediction.events.history import EventLog, with_clicks
from ctr_prediction.events.schemas import Auction
from ctr_prediction.events.tables import click_rows, shown_rows
from ctr_prediction.features.aggregates import ad_stats_at, campaigns_of
from ctr_prediction.features.views import default_user, user_from_row
from ctr_prediction.model.inputs import Priors, ad_numbers
from ctr_prediction.worker.refresh import rows_for_store
from infra.feature_store.port import FeatureRow
from infra.prediction_log.parity import compare
from tests.support.ctr_events import ADS, START, USERS, auction, catalogue, click, impression

CATALOGUE = catalogue()
PRIORS = Priors(0.02, (1.0, 0.6, 0.4, 0.3))
AT = START + 50.0


def log() -> EventLog:
    """Return a log: user u sees u + 1 ads, some repeatedly; one click is reported after `AT`."""
    shown = [
        impression(100 * user + n, n % 4, user_id=user, ad_id=(7 * user + 3 * n) % ADS, seen_ts=START + 10 * n + user)
        for user in range(USERS)
        for n in range(user + 1)
    ]
    clicks = [click(500, 0, START + 20), click(501, 1, AT + 10), click(300, 0, START + 30)]
    return EventLog.of(with_clicks(shown_rows(shown), click_rows(clicks)), CATALOGUE)


def served(known: EventLog, user: int) -> UserFeatures:
    """Return the features after a push to the store and a read."""
    rows = rows_for_store(known, CATALOGUE, SMOKE, AT, np.array([user]))
    (values,) = rows.drop(columns=["user_id", "event_ts"]).to_dict("records")
    when = datetime.fromtimestamp(AT, UTC)
    return user_from_row(FeatureRow(values, when, when), default_user())


def of(user: int, feature_ts: float = AT) -> Auction:
    return auction(user_id=user, feature_ts=feature_ts)


def test_pushed_rows_equal_the_recount_for_any_history_length() -> None:
    known = FeatureRecount(log(), CATALOGUE, SMOKE, {})
    users = range(USERS)
    left, right = columns_of_users([served(known.log, user) for user in users], known.users([of(u) for u in users]))
    assert not compare(left, right)
    assert left["user.clicks"].tolist() == [0, 0, 0, 1, 0, 1], "a click reported later does not count yet"
    assert left["user.audience"][1].tolist() == [3]


@pytest.mark.parametrize("user", [0, 3, 10**6])
def test_cold_start_is_compared_with_the_defaults_of_the_segment(user: int) -> None:
    (counted,) = FeatureRecount(log(), CATALOGUE, SMOKE, {}).users([of(user, feature_ts=0.0)])
    default = default_user(user % 2 if user < USERS else 0)
    assert not compare(*columns_of_users([default], [counted]))


def test_skew_names_features_of_a_row_from_another_time() -> None:
    known = FeatureRecount(log(), CATALOGUE, SMOKE, {})
    later = known.users([of(5, AT + 11)])
    found = {skew.feature for skew in compare(*columns_of_users([served(known.log, 5)], later))}
    assert found == {"user.clicks", "user.shown", "user.seen_ads", "user.seen_counts", "user.seen_today"}


def test_recounted_ad_numbers_equal_those_of_the_market_bit_for_bit() -> None:
    known = FeatureRecount(log(), CATALOGUE, SMOKE, {})
    campaign = CATALOGUE.ads["campaign_id"].to_numpy(np.int64)
    of_ads = ad_stats_at(known.log, CATALOGUE, SMOKE, AT)
    of_campaigns = [counts[campaign] for counts in campaigns_of(of_ads, CATALOGUE)]
    market = ad_numbers(AdFeatures(campaign, np.arange(ADS), *of_ads, *of_campaigns), PRIORS)
    some = np.array([6, 1, 2])
    np.testing.assert_array_equal(known.ad_numbers(some, AT, PRIORS), market[some])
    assert not np.array_equal(known.ad_numbers(some, AT + 11, PRIORS), market[some])


def test_auction_with_a_removed_ad_is_skipped() -> None:
    assert not not_recomputable(auction(ads=pack(np.array([0, ADS - 1]), "<i4")), CATALOGUE)
    assert (
        not_recomputable(auction(ads=pack(np.array([0, ADS]), "<i4")), CATALOGUE)
        == "an ad of the auction is not in the catalogue"
    )
