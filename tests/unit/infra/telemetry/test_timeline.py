"""The timeline keeps every line of several processes, skips what is no event, and stays bounded."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from infra.settings import Settings
from infra.telemetry import timeline
from infra.telemetry.timeline import Entry, read, record, timeline_file

WRITER = """
import sys
from infra.settings import Settings
from infra.telemetry.timeline import record
settings = Settings(home=sys.argv[1], preset="smoke")
for number in range(300):
    record(settings, "tiny", "build", "x" * 200, writer=sys.argv[2], number=number)
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, preset="smoke")


def test_events_are_read_in_order_with_their_facts(settings: Settings) -> None:
    assert read(settings, "tiny") == []
    before = datetime.now(UTC)
    record(settings, "tiny", "shift", "the world changes", world_ts=1_767_600_000.0, size=0.5)
    record(settings, "tiny", "gate", 'refused:\n"worse"')
    record(settings, "other", "build", "of another design")
    shift, gate = read(settings, "tiny")
    assert (shift.kind, shift.text, shift.world_ts, shift.facts) == (
        "shift",
        "the world changes",
        1_767_600_000.0,
        {"size": 0.5},
    )
    assert gate == Entry(gate.at, "gate", 'refused:\n"worse"', None, {})
    assert before.timestamp() - 1 < datetime.fromisoformat(shift.at).timestamp() < before.timestamp() + 60
    assert datetime.fromisoformat(shift.at).utcoffset() == UTC.utcoffset(None)
    assert json.loads(json.dumps(shift.row())) == {**vars(shift), "facts": {"size": 0.5}}


def test_two_processes_append_without_losing_or_mixing_lines(settings: Settings) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(settings.home), name]) for name in ("one", "two")]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    entries = read(settings, "tiny")
    for name in ("one", "two"):
        assert [entry.facts["number"] for entry in entries if entry.facts["writer"] == name] == list(range(300))
    assert len(timeline_file(settings, "tiny").read_bytes().splitlines()) == 600


def test_a_writer_waits_while_another_one_drops_old_lines(settings: Settings) -> None:
    """Otherwise its line would go to the file that is about to be replaced."""
    record(settings, "tiny", "build", "one")
    writer = threading.Thread(target=record, args=(settings, "tiny", "build", "two"))
    with timeline_file(settings, "tiny").with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        writer.start()
        writer.join(0.3)
        assert writer.is_alive()
        assert [entry.text for entry in read(settings, "tiny")] == ["one"]
    writer.join(10)
    assert [entry.text for entry in read(settings, "tiny")] == ["one", "two"]


def test_torn_and_foreign_lines_are_skipped_and_spoil_no_later_line(settings: Settings) -> None:
    record(settings, "tiny", "build", "one")
    path = timeline_file(settings, "tiny")
    foreign = (
        b"[]",
        b"7",
        b"\xff\xfe",
        b'{"at": "noon", "kind": "build", "text": "x"}',
        b'{"at": "2026-01-05T00:00:00+00:00", "kind": "build"}',
        b'{"at": "2026-01-05T00:00:00+00:00", "kind": "build", "text": "x", "world_ts": 1e300}',
        b'{"at": "2026-01-05T00:00:00+00:00", "kind": "build", "text": "x", "facts": 7}',
    )
    with path.open("ab") as file:
        file.write(b"\n".join(foreign) + b"\n\n" + path.read_bytes()[:20])
    record(settings, "tiny", "build", "two")
    assert [entry.text for entry in read(settings, "tiny")] == ["one", "two"]
    with path.open("ab") as file:
        file.write(b'{"at": "2026-01-05T00:00:00+00:00", "kind": "later", "text": "of a later version", "more": 1}\n')
    assert read(settings, "tiny")[-1].kind == "later"


def test_a_full_timeline_loses_its_older_half_only(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeline, "MOST_BYTES", 10_000)
    sizes = []
    for number in range(300):
        record(settings, "tiny", "build", "x" * 100, number=number)
        sizes.append(timeline_file(settings, "tiny").stat().st_size)
        numbers = [entry.facts["number"] for entry in read(settings, "tiny")]
        assert numbers == list(range(numbers[0], number + 1)), "the newest lines, without a gap"
    assert max(sizes) <= 10_000
    assert min(sizes[100:]) > 4_000, "half of it stays"
    record(settings, "tiny", "build", "y" * 20_000)
    assert [entry.text[0] for entry in read(settings, "tiny")] == ["y"]


def test_a_timeline_that_cannot_be_written_fails_no_caller(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.root.mkdir(parents=True)
    settings.design_root("tiny").write_text("a file where the directory should be")
    record(settings, "tiny", "build", "a release")
    assert "a release" in caplog.text


def test_importing_the_timeline_loads_nothing_heavy() -> None:
    code = "import sys, infra.telemetry.timeline; print(*sorted(sys.modules))"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert not loaded & {"numpy", "pyarrow", "mlflow", "prometheus_client", "httpx", "duckdb", "feast"}
