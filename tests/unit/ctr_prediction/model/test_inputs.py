"""Numeric inputs follow their formulas, and hashed pairs have the same rows in every build."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctr_prediction.domain import AGE_BANDS, DEVICES, SLOTS, AdFeatures, Context, UserFeatures
from ctr_prediction.features.views import default_user
from ctr_prediction.model.inputs import (
    AD_NUMBERS,
    NO_CROSS,
    NUMERIC,
    PERSON_NUMBERS,
    USER_NUMBERS,
    WIDE,
    Priors,
    ad_numbers,
    context_numbers,
    cross,
    cross_of,
    crosses,
    ctr_log,
    hour_of,
    in_audience,
    is_retargeted,
    numeric,
    pair_numbers,
    person_numbers,
    priors_from,
    top_slot_impressions,
    user_crosses,
    user_numbers,
)
from tests.support.ctr_events import START

PRIORS = Priors(0.02, (1.0, 0.5, 0.25, 0.125), user_strength=50.0, ad_strength=200.0)
IDS = st.integers(0, 10**9)


def someone(shown: list[float], clicks: float, audience: int = -1) -> UserFeatures:
    own = {"shown": np.array([shown], np.float32), "clicks": np.array([clicks], np.float32)}
    values = vars(default_user(2)) | own | {"age": np.array([4]), "gender": np.array([1])}
    return UserFeatures(**(values | {"audience": np.array([[audience, -1]])}))


def an_ad(shown: list[float], clicks: float, campaign_shown: list[float], campaign_clicks: float) -> AdFeatures:
    def row(values: list[float]) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        return np.array([values], np.float32)

    of = np.array([clicks], np.float32), np.array([campaign_clicks], np.float32)
    return AdFeatures(np.array([3]), np.array([5]), row(shown), of[0], row(campaign_shown), of[1])


def test_lower_impressions_count_less() -> None:
    shown = np.array([[10, 0, 0, 0], [0, 10, 0, 0], [1, 2, 4, 8]], np.float32)
    assert top_slot_impressions(shown, PRIORS).tolist() == [10.0, 5.0, 4.0]


def test_golden_click_rates() -> None:
    """log of (clicks + strength × prior rate) / (examined + strength), relative to the prior rate."""
    clicks, examined = np.array([0, 3, 10, 0], np.float32), np.array([0, 50, 500, 1e6], np.float32)
    found = ctr_log(clicks, examined, PRIORS, 50.0)
    expected = np.log([1.0, (4 / 100) / 0.02, (11 / 550) / 0.02, (1 / 1_000_050) / 0.02])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert found[2] == pytest.approx(0, abs=1e-6), "10 of 500 is the prior rate"
    assert found.dtype == np.float32


@given(st.integers(0, 500), st.integers(0, 5000), st.floats(1.0, 1000.0))
@settings(deadline=None, max_examples=100)
def test_smoothed_rate_lies_between_the_raw_rate_and_the_prior(clicks: int, others: int, strength: float) -> None:
    looks = clicks + others
    found = float(ctr_log(np.array([clicks], np.float32), np.array([looks], np.float32), PRIORS, strength)[0])
    seen = np.log(max(clicks / looks, 1e-12) / PRIORS.ctr) if looks else 0.0
    assert min(seen, 0.0) - 1e-4 <= found <= max(seen, 0.0) + 1e-4
    more = float(ctr_log(np.array([clicks + 1], np.float32), np.array([looks], np.float32), PRIORS, strength)[0])
    assert more > found


def test_golden_numeric_inputs_of_a_user_and_an_ad() -> None:
    user, ad = someone([40, 20, 0, 0], 5.0, audience=7), an_ad([200, 0, 0, 0], 12.0, [600, 400, 0, 0], 12.0)
    page = Context.one(1, 2, START + 6 * 3600.0)
    (row,) = numeric(user, ad, page, np.array([3]), PRIORS)
    found = dict(zip(NUMERIC, row.tolist(), strict=True))
    expected = dict.fromkeys(NUMERIC, 0.0) | {
        "user_ctr_log": np.log(6 / 100 / 0.02),
        "user_looks_log": np.log(51) / 4,
        f"age_{AGE_BANDS[4]}": 1.0,
        "gender_m": 1.0,
        "in_audience": 1.0,
        "device_desktop": 1.0,
        "hour_cos": 0.0,
        "hour_sin": 1.0,
        "seen_log": 2.0,
        "ad_ctr_log": np.log(16 / 400 / 0.02),
        "ad_looks_log": np.log(201) / 8,
        "campaign_ctr_log": np.log(16 / 1000 / 0.02),
        "campaign_looks_log": np.log(801) / 8,
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=2e-6), name


def test_inputs_equal_the_prior_without_observations() -> None:
    (row,) = person_numbers(default_user(), PRIORS)
    found = dict(zip(USER_NUMBERS[:PERSON_NUMBERS], row.tolist(), strict=True))
    assert (found["user_ctr_log"], found["user_looks_log"], found["in_audience"]) == (0, 0, 0)
    (cold,) = ad_numbers(an_ad([0] * SLOTS, 0.0, [0] * SLOTS, 0.0), PRIORS)
    assert dict(zip(AD_NUMBERS, cold.tolist(), strict=True)) == dict.fromkeys(AD_NUMBERS, 0.0)


@given(st.integers(0, 23), st.integers(0, 400))
@settings(deadline=None, max_examples=50)
def test_hour_input_is_cyclic_over_the_day(hour: int, day: int) -> None:
    page = Context.one(0, 0, START + day * 86_400.0 + hour * 3600.0 + 1800.0)
    assert hour_of(page).tolist() == [hour]
    *devices, cos, sin = context_numbers(page)[0].tolist()
    assert devices == [1.0, 0.0, 0.0]
    assert (cos, sin) == pytest.approx((np.cos(np.pi * (hour + 0.5) / 12), np.sin(np.pi * (hour + 0.5) / 12)), abs=1e-4)


def test_broadcast_page_equals_one_page_per_ad() -> None:
    users = someone([3, 1, 0, 2], 1.0).take(np.zeros(3, np.int64))
    ads = an_ad([5, 0, 0, 0], 1.0, [9, 0, 0, 0], 1.0).take(np.zeros(3, np.int64))
    many = Context(np.full(3, 4), np.full(3, 1), np.full(3, START + 100.0))
    seen = np.array([0, 1, 7])
    together = numeric(users, ads, many, seen, PRIORS)
    one = someone([3, 1, 0, 2], 1.0)
    np.testing.assert_array_equal(together, numeric(one, ads, Context.one(4, 1, START + 100.0), seen, PRIORS))
    assert together.shape == (3, len(NUMERIC))
    assert together.dtype == np.float32
    np.testing.assert_array_equal(user_numbers(one, many, PRIORS), together[:, : len(USER_NUMBERS)])
    assert pair_numbers(seen).ravel().tolist() == [0, 1, 3]


@pytest.mark.parametrize(
    ("bits", "ids", "row"),
    [
        (17, (0, 0), 1),
        (17, (3, 70), 114_529),
        (17, (70, 3), 103_994),
        (17, (5, 2, 13), 68_702),
        (14, (599, 258), 11_993),
        (21, (499_999, 17_249), 36_716),
        (17, (12_345,), 105_505),
        (8, (2**53 - 1, 7), 87),
        (17, (-1, 4), 118_471),
    ],
)
def test_golden_hash_rows_of_pairs(bits: int, ids: tuple[int, ...], row: int) -> None:
    """A changed hash would silently read the weights of other pairs."""
    assert cross(bits, *(np.array([one]) for one in ids)).tolist() == [row]
    assert cross_of(bits, *ids) == row


@given(st.integers(8, 24), st.lists(st.tuples(IDS, IDS), min_size=1, max_size=20))
@settings(deadline=None, max_examples=100)
def test_hash_rows_lie_in_the_table_and_never_at_the_reserved_row(bits: int, pairs: list[tuple[int, int]]) -> None:
    one, other = np.array(pairs, np.int64).T
    rows = cross(bits, one, other)
    assert rows.dtype == np.int32
    assert (rows > NO_CROSS).all()
    assert (rows < 2**bits).all()
    assert rows.tolist() == [cross_of(bits, *pair) for pair in pairs], (
        "the scalar function agrees with the array function"
    )
    assert cross(bits, one[:, None], other[None, :]).diagonal().tolist() == rows.tolist()


def test_hash_rows_spread_like_a_random_hash() -> None:
    bits, users, ads = 14, np.arange(200)[:, None], np.arange(100)[None, :]
    counts = np.bincount(cross(bits, users, ads).ravel(), minlength=2**bits)[1:]
    mean = counts.mean()
    assert counts.var() == pytest.approx(mean, rel=0.1), "the counts are Poisson distributed"
    assert (counts == 0).mean() == pytest.approx(np.exp(-mean), rel=0.1)
    forth, back = cross(bits, users, ads).ravel(), cross(bits, ads, users).ravel()
    assert (forth == back).mean() < 0.02, "the order of ids matters"


def test_user_ad_crosses_follow_the_configured_scope() -> None:
    users = UserFeatures(*(np.repeat(values, 2, axis=0) for values in vars(default_user(1)).values()))
    users = UserFeatures(**(vars(users) | {"audience": np.array([[-1, -1], [-1, 6]])}))
    assert in_audience(users).tolist() == [False, True]
    assert user_crosses(users, "audience").tolist() == [False, True]
    assert user_crosses(users, "all").tolist() == [True, True]
    assert user_crosses(users, "none").tolist() == [False, False]
    page = Context(np.array([3, 3]), np.array([0, 0]), np.array([START, START + 7 * 3600.0]))
    user_id, ad_id = np.array([8, 9]), np.array([40, 40])
    found = crosses(user_id, users, "audience", ad_id, page, 17)
    assert set(found) == set(WIDE)
    assert found["user_ad"].tolist() == [NO_CROSS, cross_of(17, 9, 40)]
    assert found["segment_ad"].tolist() == [cross_of(17, 1, 40)] * 2
    assert found["publisher_hour"].tolist() == [cross_of(17, 1, 3, 0), cross_of(17, 1, 3, 7)]
    assert found["retargeted"].tolist() == [0, 0]
    assert crosses(user_id, users, "none", np.array([6, 6]), page, 17)["retargeted"].tolist() == [0, 1]


def test_ad_is_retargeted_if_it_is_in_the_audience_of_the_user() -> None:
    each = is_retargeted(np.array([[3, -1], [-1, -1], [7, 3]]), np.array([3, 3, 4]))
    assert each.tolist() == [True, False, False]
    assert is_retargeted(np.array([[3, 7]]), np.array([7, 5, 3])).tolist() == [True, False, True]


def test_priors_are_restored_from_a_manifest() -> None:
    values = {"ctr": 0.03, "examination": [1.0, 0.5], "user_strength": 5.0, "ad_strength": 6.0}
    assert priors_from(values) == Priors(0.03, (1.0, 0.5), 5.0, 6.0)
    with pytest.raises(KeyError):
        priors_from({})
    with pytest.raises(TypeError):
        priors_from({"examination": []})


def test_input_names_are_unique_and_in_column_order() -> None:
    assert len(NUMERIC) == len(set(NUMERIC)) == len(USER_NUMBERS) + 1 + len(AD_NUMBERS)
    assert USER_NUMBERS[PERSON_NUMBERS : PERSON_NUMBERS + len(DEVICES)] == tuple(f"device_{one}" for one in DEVICES)
