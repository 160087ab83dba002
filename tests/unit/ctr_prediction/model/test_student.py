"""The split first layer of the student equals the full layer, and its arrays survive a round trip to disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from ctr_prediction.domain import Context, Floats, Ints
from ctr_prediction.model.ad_inputs import AdSide, inputs, seen_of
from ctr_prediction.model.inputs import ad_numbers, person_numbers
from ctr_prediction.model.split_layer import StudentSide, row_by_row
from ctr_prediction.model.student import Student
from ctr_prediction.offline.distil import StudentNet, student_of
from infra.columns import DAY_S, HOUR_S
from infra.errors import CorruptArtifact
from tests.support.ctr_events import START
from tests.support.ctr_market import (
    ADS,
    KNOWN,
    MODELS,
    PAGES,
    PRIORS,
    SIDES,
    USER_CROSSES,
    Page,
    ads_of,
    stats,
    student,
    user,
)

STUDENT = student(SIDES["all"].known.shape[1])
STUDENTS = {user_cross: StudentSide.of(STUDENT, MODELS[user_cross], SIDES[user_cross]) for user_cross in USER_CROSSES}


def in_parts(of: StudentSide, page: Page, eligible: Ints | None = None) -> Floats:
    """Return the sums of the bidders of a page, with precomputed sums of the `eligible` ads."""
    user_id, segment, has_audience, bidders, publisher, device, at_s, _, seed = page
    someone, at_ts = user(segment, in_audience=has_audience, seed=seed), START + at_s
    person = person_numbers(someone, PRIORS)[0]
    of_user = of.of_user(user_id, someone, person)
    of_place = of.of_place(segment, publisher, device, int(at_ts % DAY_S // HOUR_S))
    kept = None if eligible is None else replace(of, kept={}).bidders(segment, eligible)
    return of.sums(np.array(bidders), user_id, segment, of_user, of_place, at_ts, kept)


def whole(page: Page, side: AdSide) -> Floats:
    """Return the input rows of the full first layer."""
    user_id, segment, has_audience, bidders, publisher, device, at_s, user_cross, seed = page
    someone, ads = user(segment, in_audience=has_audience, seed=seed), np.array(bidders)
    context = Context.one(publisher, device, START + at_s)
    return inputs(MODELS[user_cross], side, ads, user_id, someone, context, seen_of(someone, ads, ADS))


@given(PAGES)
@settings(deadline=None, max_examples=150)
def test_split_first_layer_equals_the_full_layer(page: Page) -> None:
    user_cross = page[-2]
    sums, x = in_parts(STUDENTS[user_cross], page), whole(page, SIDES[user_cross])
    assert sums.dtype == np.float32
    np.testing.assert_allclose(sums, x @ STUDENT.first + STUDENT.bias, atol=2e-4)
    np.testing.assert_allclose(STUDENT.of_sums(sums), STUDENT(x), atol=5e-4)


@given(PAGES, st.lists(st.integers(0, ADS - 1), max_size=ADS, unique=True))
@settings(deadline=None, max_examples=100)
def test_precomputed_sums_change_no_bit(page: Page, eligible: list[int]) -> None:
    of = STUDENTS[page[-2]]
    np.testing.assert_array_equal(in_parts(of, page), in_parts(of, page, np.array(eligible, np.int64)))


def test_split_first_layer_follows_new_counts() -> None:
    page = (3, 2, True, list(range(12)), 1, 0, 50_000.0, "all", 4)
    numbers = ad_numbers(ads_of(KNOWN, stats(9)), PRIORS)
    side = SIDES["all"].counted(numbers)
    before = STUDENTS["all"]
    later = before.counted(side)
    x = whole(page, side)
    np.testing.assert_allclose(in_parts(later, page), x @ STUDENT.first + STUDENT.bias, atol=2e-4)
    assert np.abs(in_parts(later, page) - in_parts(before, page)).max() > 0.01
    before.bidders(2, np.arange(5))
    assert not before.counted(side).kept, "new counts discard the precomputed sums"


@given(st.integers(1, 40), st.integers(0, 1000))
@settings(deadline=None, max_examples=50)
def test_row_by_row_product_does_not_depend_on_the_batch(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, weights = rng.normal(size=(count, 9)).astype(np.float32), rng.normal(size=(9, 7)).astype(np.float32)
    together = row_by_row(x, weights)
    np.testing.assert_allclose(together, x @ weights, atol=1e-5)
    for row in range(count):
        np.testing.assert_array_equal(row_by_row(x[row : row + 1], weights)[0], together[row])


def test_exported_student_matches_the_trained_network() -> None:
    rng = np.random.default_rng(1)
    x = (rng.normal(size=(500, 12)) * rng.uniform(0.01, 30, 12) + rng.normal(size=12)).astype(np.float32)
    x[:, 5] = 4.0
    net = StudentNet(x, 6, -3.5, nnx.Rngs(0))
    net.linear.kernel[...] = jnp.asarray(rng.normal(size=(12, 1)), jnp.float32)
    found = student_of(net, x)
    np.testing.assert_allclose(found(x), np.asarray(net.logit(jnp.asarray(x))), rtol=1e-3, atol=1e-4)
    other = x.copy()
    other[:, 5] = 900.0
    np.testing.assert_allclose(found(other), found(x), rtol=1e-5, err_msg="constant inputs have no effect")


def test_student_survives_a_round_trip_and_rejects_invalid_files(tmp_path: Path) -> None:
    path = tmp_path / "student.npz"
    STUDENT.write(path)
    width = len(STUDENT.first)
    found = Student.read(path, width=width)
    for name in ("first", "bias", "last"):
        np.testing.assert_array_equal(getattr(found, name), getattr(STUDENT, name))
    with pytest.raises(CorruptArtifact, match=f"must be \\({width + 1}, 5\\)"):
        Student.read(path, width=width + 1)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CorruptArtifact, match="not a student network"):
        Student.read(path, width=width)
