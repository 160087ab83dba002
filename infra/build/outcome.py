"""The outcome of the last build of a design, in a file that the monitor exports as metrics, and a failed step's report.

A build that is killed writes no outcome; the age of the last success shows it. Builds with turned knobs and builds as
of a date leave no outcome, since no service loads them.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from infra.errors import Busy, InputsMissing, UsageError
from infra.files import write_atomically

FILE = "build.json"
FAILED, REPORT_FOLDER = "failed", "report"


@dataclass(frozen=True)
class BuildOutcome:
    """Times are seconds since the epoch. `succeeded_ts` is the end of the last successful build, 0 without one."""

    ended_ts: float
    succeeded_ts: float
    error: str = ""


@contextmanager
def recorded_outcome(design_root: Path, *, is_whole: bool = True) -> Iterator[None]:
    """Write how the block ends. A success also removes the report of an earlier failure. The success of a single step
    (`is_whole` false) only clears an earlier error.

    A usage error, a missing input and a busy lock are no outcome of a build.
    """
    try:
        yield
    except (UsageError, InputsMissing, Busy):
        raise
    except Exception as exc:
        _write(design_root, BuildOutcome(time.time(), _last_success(design_root), f"{type(exc).__name__}: {exc}"[:500]))
        raise
    now = time.time()
    shutil.rmtree(design_root / FAILED, ignore_errors=True)
    _write(design_root, BuildOutcome(now, now if is_whole else _last_success(design_root)))


def read_outcome(design_root: Path) -> BuildOutcome | None:
    """Return the outcome of the last build; None without one, or if the file is damaged."""
    try:
        return BuildOutcome(**json.loads((design_root / FILE).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def keep_report(design_root: Path, output: Path) -> None:
    """Move the folder `report` of the unfinished output of a failed step to `failed/report`. The report of an earlier
    failure is removed."""
    shutil.rmtree(design_root / FAILED, ignore_errors=True)
    if (output / REPORT_FOLDER).is_dir():
        (design_root / FAILED).mkdir(parents=True)
        shutil.move(output / REPORT_FOLDER, failed_report(design_root))


def failed_report(design_root: Path) -> Path:
    """Where the report of the last build is, if one of its steps failed and had written a report."""
    return design_root / FAILED / REPORT_FOLDER


def _last_success(design_root: Path) -> float:
    known = read_outcome(design_root)
    return known.succeeded_ts if known else 0.0


def _write(design_root: Path, outcome: BuildOutcome) -> None:
    write_atomically(design_root / FILE, json.dumps(asdict(outcome), indent=2))
