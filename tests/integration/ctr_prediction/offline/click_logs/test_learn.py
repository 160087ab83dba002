"""A build from a click log splits by order or time, encodes by the training part alone, and learns crosses."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ctr_prediction.design import DESIGN
from ctr_prediction.offline.click_logs import build as build_module
from ctr_prediction.offline.click_logs import learn as learn_module
from ctr_prediction.offline.click_logs.build import build
from ctr_prediction.offline.click_logs.encode import Encoder, log_buckets
from ctr_prediction.offline.click_logs.kinds import inspect
from ctr_prediction.offline.click_logs.read import Log, read_log
from ctr_prediction.offline.click_logs.split import split
from ctr_prediction.offline.click_logs.vocabulary import FIRST, MISSING, RARE, Vocabulary
from infra.build.click_log import ClickLog
from infra.build.runner import only_build
from infra.errors import Busy, LabError, UsageError
from infra.evaluation.figures import read_figures
from infra.progress import Progress
from infra.settings import REPOSITORY, Settings
from lab.cli import app
from tests.support.click_logs import criteo_lines, crossed_lines, write


@pytest.fixture
def one_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train for one epoch, because the test does not check the model."""
    monkeypatch.setattr(learn_module, "MOST_EPOCHS", 1)


def quiet(share: float, text: str) -> None:
    assert 0 <= share <= 1


REPORT: Progress = quiet


def log_of(path: Path, lines: list[str], label: str = "click", time: str | None = None) -> Log:
    file = write(path / "log.csv", lines)
    return read_log(file, inspect(file, label, time)[0])[0]


def test_vocabulary_holds_the_frequent_values_of_the_training_part(tmp_path: Path) -> None:
    words = ["often"] * 40 + ["twice"] * 2 + [""] * 6 + ["later"] * 12
    log = log_of(tmp_path, ["word,other,click", *(f"{word},{row % 2},{row % 2}" for row, word in enumerate(words))])
    train, test = split(log)
    assert len(train) == 48
    encoder = Encoder.of(log, train)
    table = [one.name for one in encoder.ids].index("word")
    first = sum(encoder.sizes[:table])
    ids = encoder.places(log, np.concatenate([train, test]))[:, table] - first
    assert ids.tolist() == [FIRST] * 40 + [RARE] * 2 + [MISSING] * 6 + [RARE] * 12


def test_vocabulary_without_frequent_values_maps_to_rare_or_missing() -> None:
    assert Vocabulary.of(np.array([5, 6, -1])).ids(np.array([5, -1])).tolist() == [RARE, MISSING]


def test_log_buckets_separate_small_counts_and_merge_large_ones() -> None:
    found = log_buckets(np.array([np.nan, 0.0, 1.0, 2.0, 3.0, -1.0, -2.0, 1000.0, 1001.0, 2000.0]))
    assert found[0] == -1
    assert len(set(found[1:7])) == 6
    assert found[7] == found[8] != found[9]


def test_uninformative_columns_are_left_out_and_reported(tmp_path: Path) -> None:
    log = log_of(tmp_path, crossed_lines(300))
    encoder = Encoder.of(log, split(log)[0])
    assert {one.name for one in encoder.ids} == {"at.hour", "at.weekday", "page", "ad", "size"}
    assert encoder.notes == (
        "column row is not an input: nearly every row has a different value",
        "column always is not an input: it is the same in all rows of the training part",
    )


def test_numbers_are_scaled_by_statistics_of_the_training_part(tmp_path: Path) -> None:
    rows = [f"{row * 0.5},{row % 2}" for row in range(40)] + [f"{'' if row else 1e9},{row % 2}" for row in range(10)]
    log = log_of(tmp_path, ["size,click", *rows])
    train, test = split(log)
    encoder = Encoder.of(log, train)
    assert encoder.numbers(log, train)[:, 0].mean() == pytest.approx(0, abs=1e-5)
    assert encoder.numbers(log, test)[:, 0].tolist() == [5.0, *[0.0] * 9]


def test_time_split_tests_on_the_latest_rows(tmp_path: Path) -> None:
    hours = np.random.default_rng(1).permutation(50)
    lines = ["hour,page,click", *(f"2026-01-{1 + at // 24:02d} {at % 24:02d}:00:00,p,{at % 2}" for at in hours)]
    train, test = split(log_of(tmp_path, lines, time="hour"), "hour")
    assert sorted(hours[test]) == list(range(40, 50))
    assert hours[train].max() == 39


def test_row_without_a_split_time_is_refused(tmp_path: Path) -> None:
    lines = ["day,page,click", *(f"{row // 4},p{row % 3},{row % 2}" for row in range(60))]
    lines[8] = ",p,1"
    file = write(tmp_path / "log.csv", lines)
    log, tally = read_log(file, inspect(file, "click", "day")[0])
    assert {reason: found.first for reason, found in tally.refused.items()} == {"day is blank": [9]}
    assert "column day is not an input: the log is split by it" in Encoder.of(log, *split(log, "day")[:1], "day").notes


def test_split_refuses_a_test_part_without_clicks(tmp_path: Path) -> None:
    lines = ["page,click", *(f"p{row % 3},{int(row < 70 and row % 2)}" for row in range(100))]
    with pytest.raises(LabError, match="tested part of the log has no click"):
        split(log_of(tmp_path, lines))


def test_build_learns_an_interaction_of_two_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path / "log.csv", crossed_lines(4000), packed=True)
    source, settings = ClickLog("csv", file, "click"), Settings(home=tmp_path / "home", preset="smoke")
    monkeypatch.setattr(learn_module, "MOST_EPOCHS", 2)
    built = build(source, settings, REPORT)
    found = {figure.id: figure for figure in built.figures}
    assert found["auc_model"].value > 0.7 > 0.6 > found["auc_lr"].value
    assert found["auc_gain_lr"].low > 0.1
    assert found["log_loss_gain_constant"].low > 0.02
    assert found["auc_model"].low < found["auc_model"].value < found["auc_model"].high
    assert built.facts["crosses"] == [["page", "ad"]]
    assert built.facts["rows"] == {"train": 3200, "test": 800}
    assert built.place.parent == settings.design_root("ctr_prediction") / "real_logs"
    assert read_figures(built.place) == built.figures
    assert not list(built.place.glob("check*"))
    with np.load(built.place / "predictions.npz") as predictions:
        assert predictions["line"].tolist() == list(range(3202, 4002))


def test_builds_of_the_same_log_give_the_same_figures(tmp_path: Path, one_epoch: None) -> None:
    source = ClickLog("csv", write(tmp_path / "log.csv", crossed_lines(300)), "click")
    settings = Settings(home=tmp_path / "home", preset="smoke")
    built, again = (build(source, settings, REPORT) for _ in range(2))
    assert (built.found, again.found) == (False, True)
    assert again.figures == built.figures
    shutil.rmtree(built.place)
    rebuilt = build(source, settings, REPORT)
    assert (rebuilt.figures, rebuilt.found) == (built.figures, False)


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["build", *arguments])
    if isinstance(done.exception, UsageError):
        return done.exception.exit_code, f"{done.exception} {done.exception.hint}"
    return done.exit_code, done.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--data", "parquet:x"), "criteo:FILE or csv:FILE"),
        (("--data", "x.csv"), "criteo:FILE or csv:FILE"),
        (("--data", "criteo:"), "lacks the name of a file"),
        (("--data", "csv:x.csv"), "--label COLUMN"),
        (("--data", "criteo:x", "--label", "y"), "--label applies only to csv:FILE"),
        (("--data", "csv:x", "--label", "y", "--split", "time"), "rows or time:COLUMN"),
        (("--data", "csv:x", "--label", "y", "--split", "time:y"), "by its label"),
        (("--data", "criteo:x", "--from", "train"), "generated world"),
        (("--label", "y"), "need --data"),
        (("--split", "rows"), "need --data"),
        (("--data", "criteo:/no/such/file"), "there is no file"),
        (("--data", "taxi:x"), "criteo:FILE or csv:FILE"),
        (("--graph", "dimacs:x"), "--graph is no option of ctr_prediction ctr_prediction takes --data criteo:FILE"),
        (("--data", "csv:x", "--pickup-time", "t"), "--pickup-time is no option of ctr_prediction"),
    ],
)
def test_conflicting_options_are_refused_with_a_message(arguments: tuple[str, ...], message: str) -> None:
    code, text = run("ctr_prediction", *arguments)
    assert code == 2
    assert message in text


@pytest.mark.parametrize(
    ("name", "message"), [("missing", "there is no file"), ("", "cannot be read"), ("empty", "is empty")]
)
def test_build_checks_the_file_before_it_imports_training_code(tmp_path: Path, name: str, message: str) -> None:
    """The import takes seconds. With an empty name, the path is a directory instead of a file."""
    (tmp_path / "empty").touch()
    code = (
        "import sys\nfrom infra.errors import UsageError\nfrom lab.commands.making import build\n"
        "try:\n    build('ctr_prediction', data=sys.argv[1], label='click')\n"
        "except UsageError as exc:\n    print(exc, [name for name in ('jax', 'flax') if name in sys.modules])"
    )
    command = [sys.executable, "-c", code, f"csv:{tmp_path / name}"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=True)
    assert message in done.stdout
    assert done.stdout.endswith("[]\n")


def test_unusable_time_column_is_refused_with_a_hint(tmp_path: Path) -> None:
    file = write(tmp_path / "log", criteo_lines(60))
    with pytest.raises(UsageError, match="not a column of times or numbers") as caught:
        build(ClickLog("criteo", file, split="time:C1"), Settings(home=tmp_path, preset="smoke"), REPORT)
    assert "I1, I2" in caught.value.hint


def test_build_command_prints_figures_and_line_counts_as_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], one_epoch: None
) -> None:
    monkeypatch.setenv("LAB_HOME", str(tmp_path / "home"))
    lines = crossed_lines(400)
    lines[5] += ",more"
    file = write(tmp_path / "log.csv", lines)
    done = CliRunner().invoke(
        app, ["build", "ctr_prediction", "--preset", "smoke", "--json", "--data", f"csv:{file}", "--label", "click"]
    )
    assert done.exit_code == 0, done.output
    output = json.loads(capsys.readouterr().out or done.stdout)
    assert output["read"] == {
        "lines": 400,
        "good": 399,
        "malformed": 1,
        "reasons": {"not 7 fields": {"count": 1, "first_lines": [6]}},
    }
    assert {"auc_model", "auc_lr", "log_loss_constant", "calibration_ratio"} <= {row["id"] for row in output["figures"]}


@pytest.mark.parametrize(
    ("header", "row", "hint"),
    [("click", "{click}", "no column besides the label"), ("id,click", "u{row}x,{click}", "id")],
)
def test_log_without_informative_columns_is_refused_with_a_hint(
    tmp_path: Path, header: str, row: str, hint: str
) -> None:
    lines = [header, *(row.format(row=number, click=number % 3 // 2) for number in range(300))]
    path = write(tmp_path / "log.csv", lines)
    with pytest.raises(LabError, match="no column") as caught:
        build(ClickLog("csv", path, "click"), Settings(home=tmp_path, preset="smoke"), quiet)
    assert hint in caught.value.hint


def test_concurrent_build_and_full_disk_are_reported(
    tmp_path: Path, one_epoch: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, settings = ClickLog("criteo", write(tmp_path / "log.txt", criteo_lines(300))), Settings(home=tmp_path)
    with (
        only_build(settings.design_root(DESIGN.name) / "real_logs"),
        pytest.raises(Busy, match="another build is writing"),
    ):
        build(source, settings, quiet)

    def full(*words: object, **names: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(build_module, "write_figures", full)
        with pytest.raises(LabError, match="is full"):
            build(source, settings, quiet)
    assert not build(source, settings, quiet).found, "incomplete output does not count as a build"
