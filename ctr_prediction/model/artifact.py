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
from typing import Any

import numpy as np
import numpy.typing as npt

from ctr_prediction.domain import SLOTS, AdFeatures, Context, Floats, Ints, UserFeatures
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
    """Tables and the parameters of their use: `looks` float32[SLOTS] is the learned examination probability of each
    slot relative to the first; `cross_bits` is the hash size and `user_cross` selects the users with user × ad
    crosses."""

    tables: Tables
    looks: Floats
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
    """`student`, `teacher` and `naive` float32[n, inputs] -> float32[n], the log-odds of p(click | examined). `curves`
    has a calibration curve for each; `share` is w, the share of negatives in the training sample."""

    debiased: Model
    undebiased: Model
    student: Network
    teacher: Network
    naive: Network
    curves: Mapping[str, Curve]
    share: float
    meta: Mapping[str, Any]
    digest: str

    def p_in_slots(self, network: str, z: Floats, how: str = "yes") -> Floats:
        """float32[n, SLOTS]: p(click) in each slot, for log-odds `z` float32[n]."""
        return self.p_in(network, z[:, None], np.arange(SLOTS), how)

    def p_first(self, network: str, z: Floats, how: str = "yes") -> Floats:
        """float32[n]: p(click) in the first slot. Fast path for `p_in` with slot 0, whose examination is 1."""
        if how == "yes":
            return np.asarray(self.curves[network].of_log_odds(z), np.float32)
        return self.p_in(network, z, 0, how)

    def p_one(self, network: str, z: float, slot: int, how: str = "yes") -> float:
        """Fast path for `p_in` of one ad."""
        looks = (self.undebiased if network == "naive" else self.debiased).looks
        p = float(looks[slot]) / (1 + math.exp(-max(z, LEAST_LOG_ODDS)))
        if how == "yes":
            return self.curves[network].one(p)
        return float(in_the_sample(np.array(p), self.share)) if how == "no_recalibration" else p

    def p_in(self, network: str, z: Floats, slot: Ints | int, how: str = "yes") -> Floats:
        """float32, `z` and `slot` broadcast: p(click) in `slot`, for log-odds `z` float32[...]. `how` is the knob
        `calibrated`."""
        looks = (self.undebiased if network == "naive" else self.debiased).looks
        p: Floats = sigmoid(z) * looks[slot]
        if how == "yes":
            p = np.asarray(self.curves[network](p), np.float32)
        elif how == "no_recalibration":
            p = np.asarray(in_the_sample(p, self.share), np.float32)
        return p

    def p_click(self, network: str, x: Floats, slot: Ints, *, calibrated: bool = True) -> Floats:
        """float32[n]: p(click) in `slot` int64[n], for inputs `x` from `inputs_of` of the network's model."""
        return self.p_in(network, getattr(self, network)(x), slot, "yes" if calibrated else "no")


def load_bundle(path: Path, digest: str | None = None) -> Bundle:
    """Verify every byte, then load. Raises `CorruptArtifact`, also if the model was trained on other features than
    this code computes."""
    return _bundle(path, verify(path, digest=digest, hint=FETCH_AGAIN))


def load_what_is_whole(path: Path, digest: str) -> Bundle | None:
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
        looks = np.asarray(meta["looks"][name], np.float32)
        return Model(tables, looks, priors_from(meta["priors"][name]), meta["cross_bits"], meta["user_cross"])

    curves = {name: curve_from(meta["curves"][name]) for name in NETWORKS}
    return Bundle(
        model("debiased"), model("undebiased"), **networks, curves=curves, share=meta["share"], meta=meta,
        digest=manifest.digest,
    )  # fmt: skip
