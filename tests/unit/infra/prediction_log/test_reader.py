"""The reader parses `--since`, rejects an empty log, and restores inputs from JSON bit for bit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from feed_ranking.domain import UserFeatures
from feed_ranking.events.codec import pack, unpack, user_as_lists, user_from_lists
from feed_ranking.events.schemas import Prediction
from feed_ranking.features.views import default_user
from infra.errors import UsageError
from infra.prediction_log.reader import PredictionLog
from infra.prediction_log.results import Since, parse_since
from tests.support.feed_parts import TOPICS, some_users


def test_since_accepts_a_time_a_duration_or_all() -> None:
    assert parse_since("all").first_ts(1e9) == float("-inf")
    assert parse_since("90s").first_ts(1e9) == 1e9 - 90
    assert parse_since("2h").first_ts(1e9) == 1e9 - 7200
    assert parse_since("2026-01-19T00:00:00").from_ts == parse_since("2026-01-19T01:00:00+01:00").from_ts
    for wrong in ("soon", "10", "m", ""):
        with pytest.raises(UsageError, match="--since takes"):
            parse_since(wrong)


def test_empty_log_raises_with_the_command_to_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is empty") as caught:
        PredictionLog(tmp_path / "predictions", Prediction, Since(), 10)
    assert "lab live" in caught.value.hint


def test_inputs_and_users_survive_json_bit_for_bit() -> None:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(7, 5)).astype(np.float32)
    inputs[0, 0] = np.nextafter(np.float32(1), np.float32(2))
    np.testing.assert_array_equal(unpack(json.loads(json.dumps(pack(inputs))), 5), inputs)
    assert unpack(pack(inputs[:0]), 5).shape == (0, 5)
    user: UserFeatures = some_users(rng, 1)
    again = user_from_lists(json.loads(json.dumps(user_as_lists(user))), default_user(TOPICS))
    for name, values in vars(user).items():
        np.testing.assert_array_equal(getattr(again, name), values)
        assert getattr(again, name).dtype == values.dtype, name
