"""A challenger is loaded beside the champion, gets its share of users, and leaves without a trace."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from infra.errors import CorruptArtifact
from infra.files import write_atomically
from infra.registry.release import Release
from infra.registry.rollout import Rollout, read_rollout, write_rollout
from infra.serving.challenger import ChallengerSlot
from infra.serving.slot import ReleaseSlot

CHAMPION = Release("tiny", "tiny-smoke", 1, "aa" * 32, "/model", "/index", "/features-1", 0.0)
CHALLENGER = replace(CHAMPION, model_version=2, model_digest="bb" * 32, features_path="/features-2")
USERS = range(2_000)


class Tiny:
    """A folder with two releases, and a slot that loads them as texts."""

    def __init__(self, root: Path) -> None:
        self.root, self.loaded, self.begun = root, list[Release](), list[str]()
        self.error: Exception | None = None
        for release in (CHAMPION, CHALLENGER):
            release.write(root / f"release-{release.model_version}")
        self.point_to(CHAMPION)
        self.challenger = ChallengerSlot(root, self.load, self.begun.append)
        self.slot = ReleaseSlot(root, self.load, swapped=lambda _: None, challenger=self.challenger)
        self.slot.check()

    def point_to(self, release: Release) -> None:
        path = str(self.root / f"release-{release.model_version}")
        write_atomically(self.root / "current.json", json.dumps({"release": path}))

    def load(self, release: Release) -> str:
        if self.error and release.model_version == 2:
            raise self.error
        self.loaded.append(release)
        return f"version {release.model_version}"

    def move(self, rollout: Rollout) -> None:
        assert write_rollout(self.root, read_rollout(self.root), rollout) is not None
        self.slot.check()
        self.challenger.check(self.slot.release)

    def begin(self) -> None:
        release = str(self.root / "release-2")
        self.move(Rollout(stage="shadow", version=2, digest=CHALLENGER.model_digest, release=release, before=1))

    def share(self) -> float:
        return sum(self.slot.value_for(user) == "version 2" for user in USERS) / len(USERS)


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    return Tiny(tmp_path)


def test_shadow_is_loaded_with_the_champions_feature_rows_and_answers_nobody(tiny: Tiny) -> None:
    tiny.begin()
    assert tiny.slot.values == ("version 1", "version 2")
    assert tiny.loaded[-1].features_path == "/features-1"
    assert (tiny.share(), tiny.begun) == (0.0, [CHALLENGER.model_digest])


def test_canary_answers_its_share_of_users_without_another_load(tiny: Tiny) -> None:
    tiny.begin()
    for share in (0.2, 0.5):
        tiny.move(read_rollout(tiny.root).moved("canary", share=share))
        assert abs(tiny.share() - share) < 0.04
    assert len(tiny.loaded) == 2


@pytest.mark.parametrize("stage", ["rolled back", "stopped"])
def test_ended_rollout_gives_all_users_back_to_the_champion(tiny: Tiny, stage: str) -> None:
    tiny.begin()
    tiny.move(read_rollout(tiny.root).moved("canary", share=0.5))
    tiny.move(read_rollout(tiny.root).moved(stage))  # type: ignore[arg-type]
    assert (tiny.share(), tiny.slot.values) == (0.0, ("version 1",))


def test_promoted_challenger_serves_all_users_from_its_own_feature_rows(tiny: Tiny) -> None:
    tiny.begin()
    tiny.point_to(CHALLENGER)
    tiny.move(read_rollout(tiny.root).moved("promoted", share=1.0))
    assert (tiny.share(), tiny.slot.values) == (1.0, ("version 2",))
    assert tiny.loaded[-1].features_path == "/features-2"


def test_challenger_that_cannot_be_loaded_is_reported_and_tried_once(tiny: Tiny) -> None:
    tiny.error = CorruptArtifact("damaged")
    tiny.begin()
    tiny.challenger.check(tiny.slot.release)
    assert (tiny.slot.values, tiny.challenger.last_error, len(tiny.begun)) == (("version 1",), "damaged", 1)
    tiny.move(read_rollout(tiny.root).moved("rolled back"))
    assert tiny.challenger.last_error == ""


def test_request_that_has_chosen_keeps_its_model_while_the_rollout_changes(tiny: Tiny) -> None:
    tiny.begin()
    tiny.move(read_rollout(tiny.root).moved("canary", share=0.5))
    user = next(user for user in USERS if tiny.slot.value_for(user) == "version 2")
    chosen = tiny.slot.value_for(user)
    tiny.move(read_rollout(tiny.root).moved("stopped"))
    assert (chosen, tiny.slot.value_for(user)) == ("version 2", "version 1")
