"""The build of a real log: read, split, encode, learn, measure, and write the results to a directory of its own.

A build with the same log, options and code reuses the existing results. A killed build resumes its training. The build
does not change any data of the generated world.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ctr_prediction.offline.click_logs.crosses import pairs_of
from ctr_prediction.offline.click_logs.encode import Encoder
from ctr_prediction.offline.click_logs.kinds import CRITEO, inspect
from ctr_prediction.offline.click_logs.learn import data_of, learn, predict
from ctr_prediction.offline.click_logs.measure import figures_of, logistic
from ctr_prediction.offline.click_logs.read import read_log
from ctr_prediction.offline.click_logs.split import split
from infra.build.click_log import ClickLog
from infra.build.real_files import RealBuild, size_of
from infra.build.runner import AGAIN, check_free_space, only_build
from infra.build.step_code import code_digest
from infra.evaluation.figures import read_figures, write_figures
from infra.files import disk_errors
from infra.progress import Progress
from infra.settings import Settings
from infra.training.networks import keep_compiled

FOLDER, FACTS = "real_logs", "report.json"
SEED = 11


def build(source: ClickLog, settings: Settings, report: Progress) -> RealBuild:
    """Build, or return the results of an earlier equal build. Raises the errors of reading, `UsageError` if another
    build is running, and `LabError` if the disk is full."""
    place = settings.design_root("ctr_prediction") / FOLDER / digest_of(source)
    if (place / FACTS).exists():
        return RealBuild(place, read_figures(place), json.loads((place / FACTS).read_text()), found=True)
    work = place.with_suffix(".part")  # not `.partial`, which the start of a build deletes
    keep_compiled(settings.home)
    with disk_errors(settings.home, AGAIN), only_build(place.parent):
        check_free_space(place.parent)
        figures, facts = _make(source, work, report)
        write_figures(work, figures)
        (work / FACTS).write_text(json.dumps(facts, indent=2))
        work.replace(place)
    return RealBuild(place, figures, facts, found=False)


def digest_of(source: ClickLog) -> str:
    """The digest that identifies a build: of the file's content, the options, and the code."""
    size_of(source.path)
    with source.path.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()
    options = {**asdict(source), "path": content, "code": code_digest(f"{__name__}:build"), "seed": SEED}
    return hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()[:16]


def _make(source: ClickLog, work: Path, report: Progress) -> tuple[list[Any], dict[str, Any]]:
    def part(first: float, last: float) -> Progress:
        return lambda share, text: report(first + (last - first) * share, text)

    layout, notes = CRITEO, list[str]()
    if source.format == "csv":
        layout, notes = inspect(source.path, source.label or "", source.time)
    log, tally = read_log(source.path, layout, part(0.0, 0.2))
    train_rows, test_rows = split(log, source.time)
    report(0.2, "encoding")
    encoder = Encoder.of(log, train_rows, source.time)
    encoder.require_inputs()
    pairs = pairs_of(encoder.places(log, train_rows), encoder.sizes, log.clicked[train_rows])
    train, test = (data_of(encoder, log, rows, pairs) for rows in (train_rows, test_rows))
    learned = learn(train, SEED, part(0.25, 0.8), work / "checkpoints")
    p = {"model": predict(learned.found, test)}
    report(0.8, "logistic regression")
    p |= {"lr": logistic(train, test), "constant": np.full(len(test), train.clicked.mean())}
    report(0.95, "intervals")
    figures = figures_of(test.clicked, p)
    facts: dict[str, Any] = {
        "file": source.path.name,
        "options": {"format": source.format, "label": source.label, "split": source.split},
        "read": tally.rows(),
        "rows": {"train": len(train), "test": len(test)},
        "columns": {column.field.name: column.field.kind for column in log.columns},
        "notes": [
            *notes,
            *encoder.notes,
            f"trained on {len(train):,} rows for {learned.epochs} epoch{'s' if learned.epochs > 1 else ''}, "
            f"tested on the last {len(test):,}",
        ],
        "ids": int(sum(encoder.sizes)),
        "crosses": [[encoder.ids[one].name, encoder.ids[other].name] for one, other in pairs],
        "epochs": learned.epochs,
        "validation_log_loss": {str(tried): round(loss, 5) for tried, loss in learned.losses.items()},
    }
    np.savez(work / "predictions.npz", line=log.line[test_rows], clicked=test.rows["clicked"], **p)  # type: ignore[arg-type]
    tables: dict[str, Any] = dict(learned.found.tables)
    np.savez(work / "tables.npz", **tables)
    shutil.rmtree(work / "checkpoints", ignore_errors=True)
    report(1.0, "done")
    return figures, facts
