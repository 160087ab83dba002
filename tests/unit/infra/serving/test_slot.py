"""The slot serves a new release only if it loads; otherwise it keeps the old release and reports the error."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from infra.errors import CorruptArtifact, UsageError
from infra.files import write_atomically
from infra.registry.release import Release, read_release
from infra.serving.slot import ReleaseSlot

FIRST = Release("tiny", "tiny-smoke", 1, "d1", "/model", "/index", "/features", 0.0)
SECOND = replace(FIRST, model_version=2, model_digest="d2")


class Loader:
    """Loads a release as a text; raises for the versions in `broken`."""

    def __init__(self) -> None:
        self.broken: dict[int, Exception] = {}
        self.loads = 0

    def __call__(self, release: Release) -> str:
        self.loads += 1
        if error := self.broken.get(release.model_version):
            raise error
        return f"version {release.model_version}"


def publish(root: Path, release: Release) -> None:
    directory = root / f"release-{release.model_version}"
    release.write(directory)
    write_atomically(root / "current.json", json.dumps({"release": str(directory)}))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    publish(tmp_path, FIRST)
    return tmp_path


@pytest.fixture
def loader() -> Loader:
    return Loader()


@pytest.fixture
def swaps() -> list[bool]:
    return []


@pytest.fixture
def slot(root: Path, loader: Loader, swaps: list[bool]) -> ReleaseSlot[str]:
    return ReleaseSlot(root, loader, swapped=swaps.append)


def test_slot_is_empty_before_the_first_release(slot: ReleaseSlot[str]) -> None:
    assert (slot.value, slot.release) == (None, None)


def test_release_survives_a_round_trip_to_disk(root: Path) -> None:
    assert read_release(root) == FIRST


def test_missing_build_raises_with_the_command_to_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        read_release(tmp_path / "tiny")
    assert "lab build tiny" in caught.value.hint


def test_new_release_replaces_the_old_one(
    slot: ReleaseSlot[str], root: Path, loader: Loader, swaps: list[bool]
) -> None:
    assert slot.check()
    assert slot.value == "version 1"
    publish(root, SECOND)
    assert slot.check()
    assert (slot.value, slot.release, slot.last_error) == ("version 2", SECOND, "")
    assert swaps == [True, True]
    assert loader.loads == 2


def test_unchanged_release_is_not_loaded_again(slot: ReleaseSlot[str], loader: Loader, swaps: list[bool]) -> None:
    slot.check()
    assert not slot.check()
    assert loader.loads == 1
    assert swaps == [True]


@pytest.mark.parametrize(
    "error",
    [
        CorruptArtifact("weights do not match"),
        OSError("disk gone"),
        ValueError("no such shape"),
        RuntimeError("a native library gave up"),
    ],
)
def test_release_that_fails_to_load_keeps_the_old_one_and_the_error(
    slot: ReleaseSlot[str], root: Path, loader: Loader, swaps: list[bool], error: Exception
) -> None:
    slot.check()
    loader.broken[2] = error
    publish(root, SECOND)
    assert not slot.check()
    assert (slot.value, slot.release) == ("version 1", FIRST)
    assert slot.last_error == str(error)
    assert swaps == [True, False]


def test_failed_release_is_counted_once_over_repeated_checks(
    slot: ReleaseSlot[str], root: Path, loader: Loader, swaps: list[bool]
) -> None:
    slot.check()
    loader.broken[2] = CorruptArtifact("weights do not match")
    publish(root, SECOND)
    for _ in range(5):
        slot.check()
    assert swaps == [True, False]


def test_failed_release_is_served_once_it_loads(slot: ReleaseSlot[str], root: Path, loader: Loader) -> None:
    slot.check()
    loader.broken[2] = CorruptArtifact("weights do not match")
    publish(root, SECOND)
    slot.check()
    loader.broken.clear()
    assert slot.check()
    assert (slot.value, slot.last_error) == ("version 2", "")


def test_last_error_clears_when_the_pointer_returns_to_the_served_release(
    slot: ReleaseSlot[str], root: Path, loader: Loader
) -> None:
    slot.check()
    loader.broken[2] = CorruptArtifact("weights do not match")
    publish(root, SECOND)
    slot.check()
    publish(root, FIRST)
    assert not slot.check()
    assert slot.last_error == "", "no newer release fails to load"


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"release": 5}', '{"world": "/somewhere"}'])
def test_invalid_pointer_keeps_the_served_release(slot: ReleaseSlot[str], root: Path, text: str) -> None:
    slot.check()
    (root / "current.json").write_text(text)
    assert not slot.check()
    assert slot.value == "version 1"
    assert slot.last_error


def test_missing_pointer_keeps_the_served_release(slot: ReleaseSlot[str], root: Path) -> None:
    slot.check()
    (root / "current.json").unlink()
    assert not slot.check()
    assert (slot.value, bool(slot.last_error)) == ("version 1", True)


def test_start_raises_if_the_first_release_does_not_load(slot: ReleaseSlot[str], loader: Loader) -> None:
    loader.broken[1] = CorruptArtifact("weights do not match")
    with pytest.raises(CorruptArtifact):
        slot.start()
    assert slot.value is None


def test_watcher_loads_new_releases_until_the_slot_is_closed(root: Path, loader: Loader) -> None:
    slot = ReleaseSlot(root, loader, swapped=lambda _: None, interval_s=0.005)
    slot.start()
    assert slot.value == "version 1"
    publish(root, SECOND)
    until = time.monotonic() + 60
    while slot.value != "version 2":
        assert time.monotonic() < until
        time.sleep(0.005)
    slot.close()
    time.sleep(0.05)
    publish(root, replace(SECOND, model_version=3))
    time.sleep(0.05)
    assert slot.value == "version 2"


def test_load_error_without_a_message_is_counted_and_reported(
    slot: ReleaseSlot[str], root: Path, loader: Loader, swaps: list[bool]
) -> None:
    slot.check()
    loader.broken[2] = MemoryError()
    publish(root, SECOND)
    assert not slot.check()
    assert slot.value == "version 1"
    assert swaps == [True, False]
    assert slot.last_error


def test_watcher_continues_after_an_unexpected_load_error(root: Path, loader: Loader) -> None:
    slot = ReleaseSlot(root, loader, swapped=lambda _: None, interval_s=0.005)
    loader.broken[2] = RuntimeError("a native library gave up")
    slot.start()
    publish(root, SECOND)
    until = time.monotonic() + 60
    while not slot.last_error:
        assert time.monotonic() < until, "the load error was not noticed"
        time.sleep(0.005)
    publish(root, replace(SECOND, model_version=3))
    while slot.value != "version 3":
        assert time.monotonic() < until, "the watcher has stopped"
        time.sleep(0.005)
    slot.close()


def test_waiting_slot_starts_empty_and_loads_the_first_release(
    tmp_path: Path, loader: Loader, swaps: list[bool]
) -> None:
    slot = ReleaseSlot(tmp_path, loader, swapped=swaps.append, interval_s=0.01, may_wait=True)
    slot.start()
    assert (slot.value, slot.release, swaps) == (None, None, [])
    time.sleep(0.05)
    assert swaps == [], "waiting does not count as a failed swap"
    publish(tmp_path, FIRST)
    until = time.monotonic() + 60
    while slot.value is None:
        assert time.monotonic() < until
        time.sleep(0.01)
    assert (slot.value, slot.last_error, swaps) == ("version 1", "", [True])
    slot.close()


def test_waiting_slot_raises_for_a_corrupt_release(tmp_path: Path, loader: Loader) -> None:
    publish(tmp_path, FIRST)
    loader.broken[1] = CorruptArtifact("bytes")
    slot = ReleaseSlot(tmp_path, loader, swapped=lambda _: None, may_wait=True)
    with pytest.raises(CorruptArtifact):
        slot.start()
