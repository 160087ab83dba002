"""The calibration of champion and challenger on matured labels since a canary's step began.

Each model's predictions are read by the drift monitor's source for that model's release. Reading a prediction costs
about a millisecond, so of the champion's, which are many, only a few more are read than of the challenger's.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from infra.files import write_atomically
from infra.telemetry.canary.sessions import NEW, OLD
from infra.telemetry.drift.log_files import new_files, tables_of
from infra.telemetry.drift.observed import DriftSource, Labels, Units
from infra.telemetry.drift.waiting import Waiting
from infra.telemetry.drift.windows import Sums

SPARE = 50
"""predictions of the champion that are read beyond the number of the challenger's, per look"""


@dataclass
class Calibration:
    """`sums` of actual over expected by model (`OLD`, `NEW`), from files written until `read_ns`."""

    read_ns: int
    sums: list[Sums] = field(default_factory=lambda: [Sums(), Sums()])

    @classmethod
    def read(cls, folder: Path, begun_ns: int) -> Calibration:
        """Empty without a file of this step."""
        try:
            found = json.loads((folder / "calibration.json").read_text())
            if found["begun_ns"] == begun_ns:
                return cls(found["read_ns"], [Sums(**sums) for sums in found["sums"]])
        except (OSError, ValueError, KeyError, TypeError):
            pass
        for model in (OLD, NEW):
            _waiting_file(folder, model).unlink(missing_ok=True)
        return cls(begun_ns)

    def write(self, folder: Path, begun_ns: int) -> None:
        content = {"begun_ns": begun_ns, "read_ns": self.read_ns, "sums": [asdict(sums) for sums in self.sums]}
        write_atomically(folder / "calibration.json", json.dumps(content))

    def add_files(self, sources: Sequence[DriftSource], live: Path, folder: Path, until_ns: int) -> None:
        """Read the files written until `until_ns`. `sources` are those of champion and challenger."""
        found: list[list[pa.Table]] = [[], []]
        for table in tables_of(new_files(live / sources[NEW].predictions, self.read_ns, until_ns)):
            mine = [table.filter(_of_model(table, source.version)) for source in sources]
            mine[OLD] = mine[OLD].slice(0, len(mine[NEW]) + SPARE)
            for model in (OLD, NEW):
                found[model].append(mine[model])
        labels = [
            (name, table)
            for name in sources[NEW].labels
            for table in tables_of(new_files(live / name, self.read_ns, until_ns))
        ]
        for model, source in enumerate(sources):
            self.sums[model] += _matured(source, found[model], labels, _waiting_file(folder, model))
        self.read_ns = until_ns


def _of_model(table: pa.Table, version: str) -> pa.Array:
    return pc.and_(pc.equal(table["model_version"], version), pc.invert(table["is_shadow"]))


def _matured(
    source: DriftSource, predictions: Sequence[pa.Table], labels: Sequence[tuple[str, pa.Table]], file: Path
) -> Sums:
    """The sums of the units that have matured since the last look. `file` keeps those that have not."""
    observed = [source.observe({source.predictions: table}) for table in predictions if len(table)]
    of_labels = [source.observe({name: table}).labels for name, table in labels]
    nothing = source.observe({}).units
    units = Units.joined([nothing, *(one.units for one in observed)])
    new = Labels(
        np.concatenate([np.zeros(0, np.int64), *(one.id for one in of_labels)]),
        np.concatenate([np.zeros(0), *(one.actual for one in of_labels)]),
    )
    newest = max((float(one.request_ts.max()) for one in observed if len(one.request_ts)), default=-np.inf)
    mature, left, _ = Waiting.read(file, nothing).step(units, new, newest)
    left.write(file)
    judged = source.judged(mature)
    return Sums.of(judged.actual, source.expected(judged.predicted), judged.group)


def _waiting_file(folder: Path, model: int) -> Path:
    return folder / f"waiting-{'challenger' if model == NEW else 'champion'}.npz"
