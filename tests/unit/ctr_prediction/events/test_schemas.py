"""Ads events survive the codec unchanged, and a click references its impression."""

from __future__ import annotations

import numpy as np
import orjson
import pytest

from ctr_prediction.domain import UserFeatures
from ctr_prediction.events.codec import pack, unpack, user_as_lists, user_from_lists
from ctr_prediction.events.schemas import MAX_PLACES, TOPICS, Auction, Click, Impression, topics
from ctr_prediction.features.views import default_user
from ctr_prediction.online.event_api import MAX_AUCTION
from infra.stream.event import Codec, Event, PoisonMessage, encode
from tests.support.ctr_events import auction, click, impression


@pytest.mark.parametrize(
    ("event", "kind"),
    [(impression(2**48), Impression), (click(2**48, 3), Click), (auction(), Auction)],
    ids=["impression", "click", "auction"],
)
def test_codec_restores_every_event_type(event: Event, kind: type) -> None:
    sent = encode("topic", event)
    assert Codec.of(kind).read(sent.value) == (event.event_id, event)
    assert sent.key == b"1", "events of one user stay in order"


def test_click_shares_the_number_of_its_impression_and_numbers_are_unique() -> None:
    assert click(7, 2).number == impression(7, 2).number
    numbers = {impression(one, slot).number for one in range(5) for slot in range(MAX_PLACES)}
    assert len(numbers) == 5 * MAX_PLACES
    assert impression(MAX_AUCTION, MAX_PLACES - 1).number < 2**63, "it fits an int64 column"


def test_event_with_another_version_or_invalid_fields_is_poison() -> None:
    body = orjson.loads(encode("topic", click(1)).value)
    codec = Codec.of(Click)
    for wrong in (body | {"version": 2}, body | {"data": body["data"] | {"slot": "top"}}, body | {"event_id": "0"}):
        with pytest.raises(PoisonMessage):
            codec.decode(orjson.dumps(wrong))


def test_topics_have_the_prefix_of_the_design() -> None:
    assert set(topics()) == {TOPICS.auctions, TOPICS.impressions, TOPICS.clicks, TOPICS.dead_letters}
    assert all(name.startswith("ctr_prediction.") for name in topics())


def test_arrays_and_users_survive_json_bit_for_bit() -> None:
    numbers = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    numbers[0, 0] = np.nextafter(np.float32(1), np.float32(2))
    np.testing.assert_array_equal(unpack(pack(numbers, "<f4"), "<f4", 4), numbers)
    assert unpack(pack(numbers[:0], "<f4"), "<f4", 4).shape == (0, 4)
    default = default_user(3)
    seen = np.array([[4, 9, 1]])
    user = UserFeatures(
        **{**vars(default), "clicks": numbers[0, :1], "seen_ads": seen, "seen_counts": seen + 1, "seen_today": seen}
    )
    again = user_from_lists(orjson.loads(orjson.dumps(user_as_lists(user))), default_user())
    for name, values in vars(user).items():
        np.testing.assert_array_equal(getattr(again, name), values)
        assert getattr(again, name).dtype == values.dtype, name
