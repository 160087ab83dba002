"""The networks and tables of one model version, as files. `offline.train` writes them; offline and online code read
them.

A version has two models: the debiased model, with its teacher and the student that serves, and the naive model without
position debiasing, for comparison. `inputs_of` computes the inputs of a network; serving computes them in parts
(`online.predict`).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from ctr_prediction.domain import AdFeatures, Context, Floats, Ints, UserFeatures
from ctr_prediction.model.calibration import Curve, curve_from, in_the_sample
from ctr_prediction.model.inputs import (
    DEEP,
    HOUR,
    NUMERIC,
    WIDE,
    Priors,
    crosses,
    numeric,
    priors_from,
)
from ctr_prediction.model.student import Student
from infra.errors import CorruptArtifact
from infra.registry.manifest import Manifest, is_whole, verify
from infra.serving.onnx_model import MissingModel, OnnxModel

BUILD = "run: lab build ctr_prediction"
FETCH_AGAIN = "run: lab build ctr_prediction --from release"
NETWORKS = ("student", "teacher", "naive")
STUDENT = "student.npz"
"""the served network; `student.onnx` is the same network as ONNX, for benchmarks and other runtimes"""
FILES = {"student": STUDENT, "teacher": "teacher.onnx", "naive": "naive.onnx"}
LEAST_LOG_ODDS = -700.0
"""lower log-odds overflow the odds in float64"""
Network = Callable[[Floats], Floats]
Tables = Mapping[str, Floats]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Model:
    """Tables and what they mean for a network: `examination` float32[SLOTS]: how often each slot is examined, relative
    to the first, as training estimated it; `cross_bits` and `user_cross` say how pairs are hashed, and whose."""

    tables: Tables
    examination: Floats
    priors: Priors
    cross_bits: int
    user_cross: str

    def inputs_of(
        self, user_id: Ints, users: UserFeatures, ad_id: Ints, ads: AdFeatures, context: Context, seen: Ints
    ) -> Floats:
        """float32[n, inputs]: numbers, vectors, products, hour inputs, and the sum of the wide weights last; for n
        pairs of user and ad. A `user_id` beyond the table has a zero vector."""
        tables, numbers = self.tables, numeric(users, ads, context, seen, self.priors)
        ids = {
            "user": user_id,
            "segment": users.segment,
            "clock": users.segment,
            "publisher": context.publisher,
            "ad": ad_id,
            "campaign": ads.campaign,
            "creative": ads.creative,
        }
        vectors = {name: rows_or_none(tables[name], ids[name]) for name in DEEP}
        pairs = crosses(user_id, users, self.user_cross, ad_id, context, self.cross_bits)
        wide: Floats = sum((tables[name][pairs[name]] for name in WIDE), np.zeros((1, 1), np.float32))
        clock = vectors["clock"] * numbers[:, HOUR : HOUR + 2]
        parts = [numbers, *vectors.values(), vectors["segment"] * vectors["creative"], clock, wide]
        rows = max(len(part) for part in parts)
        return np.concatenate([np.broadcast_to(part, (rows, part.shape[1])) for part in parts], axis=1)


def rows_or_none(table: Floats, ids: npt.NDArray[np.integer[Any]]) -> Floats:
    """float32[n, width]: the rows of `table`, zeros for ids beyond the table."""
    is_there = (ids >= 0) & (ids < len(table))
    return np.where(is_there[:, None], table[np.where(is_there, ids, 0)], np.float32(0))


def sigmoid(z: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-z)), np.float32)


@dataclass(frozen=True)
class Bundle:
    """`student`, `teacher` and `naive` float32[n, inputs] -> float32[n], the log-odds of p(click | looked at).
    `curves` has one for each; `negative_rate` is w, the share of what was not clicked that was trained on."""

    debiased: Model
    undebiased: Model
    student: Network
    teacher: Network
    naive: Network
    curves: Mapping[str, Curve]
    negative_rate: float
    meta: Mapping[str, Any]
    digest: str

    @overload
    def p_click(self, network: str, z: float, slot: int, how: str = "yes") -> float: ...

    @overload
    def p_click(self, network: str, z: Floats, slot: Ints | int, how: str = "yes") -> Floats: ...

    def p_click(self, network: str, z: Floats | float, slot: Ints | int, how: str = "yes") -> Floats | float:
        """p(click) in `slot`, for the log-odds `z` that `network` gives; `how` is the knob `calibrated`.

        Arrays give float32, of the shape of `z` and `slot` together. A plain float and a plain slot give a float: for a
        few ads this is faster than numpy. All of `z` in slot 0, which is always examined, takes a fast path.
        """
        if isinstance(z, float):
            return self._of_one(network, z, int(slot), how)
        if how == "yes" and isinstance(slot, int) and slot == 0:
            return np.asarray(self.curves[network].of_log_odds(z), np.float32)
        p: Floats = sigmoid(z) * self._examination(network)[slot]
        if how == "yes":
            p = np.asarray(self.curves[network](p), np.float32)
        elif how == "no_recalibration":
            p = np.asarray(in_the_sample(p, self.negative_rate), np.float32)
        return p

    def _of_one(self, network: str, z: float, slot: int, how: str) -> float:
        p = float(self._examination(network)[slot]) / (1 + math.exp(-max(z, LEAST_LOG_ODDS)))
        if how == "yes":
            return self.curves[network].one(p)
        return float(in_the_sample(np.array(p), self.negative_rate)) if how == "no_recalibration" else p

    def _examination(self, network: str) -> Floats:
        return (self.undebiased if network == "naive" else self.debiased).examination


def load_bundle(path: Path, digest: str | None = None) -> Bundle:
    """Verify every byte, then load. Raises `CorruptArtifact`, also if the model was trained on other features than
    this code computes."""
    return _bundle(path, verify(path, digest=digest, hint=FETCH_AGAIN))


def load_intact_networks(path: Path, digest: str) -> Bundle | None:
    """Like `load_bundle`, but replaces each damaged network with one that raises `ModelUnavailable` at each use; None
    if the tables are damaged. For a service that has no older version to keep serving."""
    try:
        return _bundle(path, verify(path, digest=digest, skip=[*FILES.values(), "student.onnx"]))
    except CorruptArtifact as exc:
        log.error("starting without any model: %s", exc)
        return None


def _bundle(path: Path, manifest: Manifest) -> Bundle:
    meta = manifest.meta
    if tuple(meta.get("numeric", ())) != NUMERIC or tuple(meta.get("tables", ())) != (*DEEP, *WIDE):
        raise CorruptArtifact(
            f"the model in {path} was trained on other features than this code computes",
            hint=BUILD,
        )
    if lacking := sorted(set(FILES.values()) - manifest.files.keys()):
        raise CorruptArtifact(f"the model in {path} has no {lacking[0]}; an older version wrote it", hint=BUILD)
    networks: dict[str, Network] = {}
    for name, file in FILES.items():
        if is_whole(path, manifest, file):
            kind = Student.read if name == "student" else OnnxModel
            networks[name] = kind(path / file, width=meta["inputs"])
        else:
            why = f"{path / file} is missing or does not match its SHA-256"
            log.error("starting without %s: %s", name, why)
            networks[name] = MissingModel(name, why)

    def model(name: str) -> Model:
        with np.load(path / f"{name}.npz", allow_pickle=False) as stored:
            tables = {table: stored[table] for table in (*DEEP, *WIDE)}
        examination = np.asarray(meta["examination"][name], np.float32)
        return Model(tables, examination, priors_from(meta["priors"][name]), meta["cross_bits"], meta["user_cross"])

    curves = {name: curve_from(meta["curves"][name]) for name in NETWORKS}
    return Bundle(
        model("debiased"), model("undebiased"), **networks, curves=curves, negative_rate=meta["negative_rate"],
        meta=meta, digest=manifest.digest,
    )  # fmt: skip
