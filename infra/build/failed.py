"""What is left of a build that failed: the step, its error and its report.

The record is removed when that step or a whole build ends well. Builds with turned knobs and builds as of a date leave
none.
"""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from infra.design import Design
from infra.files import write_atomically
from infra.settings import Settings

FAILED = "failed"
FAILURE = "failure.json"
REPORT_FOLDER = "report"


@dataclass(frozen=True)
class Failure:
    """The step that failed, its error in one text, and the time in seconds since the epoch."""

    step: str
    error: str
    at_ts: float


def failed_root(design: Design, settings: Settings) -> Path:
    return settings.design_root(design.name) / FAILED


def keep_failure(directory: Path, step: str, error: BaseException, partial: Path) -> None:
    """Record the failure in `directory`, and move the folder `report` of the unfinished output there, if it has one."""
    forget_failure(directory)
    directory.mkdir(parents=True, exist_ok=True)
    if (partial / REPORT_FOLDER).is_dir():
        shutil.move(partial / REPORT_FOLDER, directory / REPORT_FOLDER)
    failure = Failure(step, str(error) or type(error).__name__, time.time())
    write_atomically(directory / FAILURE, json.dumps(asdict(failure), indent=2))


def forget_failure(directory: Path, step: str = "") -> None:
    """Remove the record: the build ended well, or `step` did, if it is the one that failed."""
    failure = read_failure(directory) if step else None
    if not step or (failure is not None and failure.step == step):
        shutil.rmtree(directory, ignore_errors=True)


def read_failure(directory: Path) -> Failure | None:
    try:
        return Failure(**json.loads((directory / FAILURE).read_text()))
    except (OSError, ValueError, TypeError):
        return None
