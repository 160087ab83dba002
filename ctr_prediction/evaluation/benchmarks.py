"""Benchmarks of the ads against references that do the same work, interleaved.

Each figure is a ratio of one round; the lab takes the median of several rounds.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from ctr_prediction.config import CtrConfig
from ctr_prediction.design import DESIGN
from ctr_prediction.domain import DEVICES
from ctr_prediction.evaluation.player import CtrPlayer
from ctr_prediction.features.views import open_store
from ctr_prediction.model.student import Student
from infra.errors import LabError
from infra.evaluation.speed.alternate import time_alternately
from infra.evaluation.speed.closed_loop import throughput
from infra.evaluation.speed.reference_app import reference_app
from infra.registry.release import Release
from infra.serving.onnx_model import OnnxModel
from infra.settings import Settings

WARM_UP_S = 60.0
ZIPF = 1.1
PAIRS, SLICE, WARM_UP_REQUESTS = 9, 700, 150_000
BIDDERS, KERNEL_RUNS, READS = 300, 400, 400


class CtrBenchmarks:
    """Requires a release, and a service of that release at `url`."""

    share_of_capacity = 0.5

    def __init__(self, release: Path, config: CtrConfig, url: str, settings: Settings) -> None:
        self._config, self._url = config, url
        self._release = Release.read(release)
        self._store = open_store(Path(self._release.features_path), settings, online_only=True)
        self._service = CtrPlayer(release, config, settings).service
        self._round = 0
        weights = np.arange(1.0, config.world.users + 1) ** -ZIPF
        self._mass = np.cumsum(weights) / weights.sum()

    def question(self, number: int) -> dict[str, Any]:
        """The body of one request. Users follow Zipf's law, spread over the id space."""
        rng = np.random.default_rng(number)
        rank = int(np.searchsorted(self._mass, rng.random()))
        user = rank * 7919 % self._config.world.users
        return self._body(user, number)

    def round(self) -> Mapping[str, float]:
        """One measurement of every figure, by figure id."""
        self._round += 1
        ratios = {"read_over_feast": self.read_over_feast(), "train_over_gemm": self.train_over_gemm()}
        return {**self.over_constant(), **self.kernels(), **ratios}

    def over_constant(self) -> Mapping[str, float]:
        """Throughput with Zipf-distributed users, and with a new user per request, relative to the constant route.
        Short slices alternate, so other load on the machine affects both. The service is warm after one cache lifetime:
        then as many rows enter the cache as expire."""
        first, path = 10**6 * self._round, DESIGN.ask.path
        throughput(self._url, path, [self.question(first + n) for n in range(WARM_UP_REQUESTS)], WARM_UP_S)
        warm = [self.question(first + WARM_UP_REQUESTS + n) for n in range(PAIRS * SLICE)]
        # ids without an earlier request: known and unknown users both cost one read of the store
        cold = [self._body(n * 7919 % self._config.world.users, n) for n in self._cold_users(PAIRS * SLICE)]
        with reference_app("ctr_prediction.evaluation.constant_route") as constant:
            throughput(constant, path, [{"user_id": 1}] * 500)
            return {
                f"{name}_over_constant": median(
                    throughput(self._url, path, part) / throughput(constant, path, part)
                    for part in (bodies[start : start + SLICE] for start in range(0, len(bodies), SLICE))
                )
                for name, bodies in (("warm", warm), ("cold", cold))
            }

    def _cold_users(self, count: int) -> list[int]:
        """Users without requests in the last rounds, so the cache has evicted or expired their entries. If there are
        too few users, the users with the oldest requests."""
        start = self._round * count
        return [start + n for n in range(count)]

    def _body(self, user: int, number: int) -> dict[str, Any]:
        publisher = number % self._config.world.publishers
        return {
            "user_id": user,
            "context": {"publisher_id": publisher, "device": DEVICES[number % len(DEVICES)]},
            "slots": 2 + number % 3,
        }

    def kernels(self) -> Mapping[str, float]:
        """Time ratios: student / teacher, student in int8 / in float32, and the served student with a split first layer
        / whole rows in ONNX Runtime."""
        service, hydrator = self._service, self._service.pipeline.hydrators[0]
        asked = {
            model: service.answer(
                service.query(7, 0, 0, 4, {"model": model, "eligible_limit": BIDDERS, "pacing": "none"}, seed=1)
            )
            for model in ("student", "teacher")
        }
        whole = asked["teacher"].ranked.columns["inputs"]
        path, width, plain = Path(self._release.model_path), whole.shape[1], service.bundle.student
        assert isinstance(plain, Student)
        student, teacher = (OnnxModel(path / f"{name}.onnx", width=width) for name in ("student", "teacher"))

        def rows(model: str) -> Any:
            return hydrator.hydrate(asked[model].query, asked[model].pool).columns["inputs"]

        with tempfile.TemporaryDirectory() as directory:
            small = OnnxModel(quantised(path / "student.onnx", Path(directory) / "student.int8.onnx"), width=width)
            works: dict[str, Callable[[], object]] = {
                "plain": lambda: plain(whole),
                "teacher": lambda: teacher(whole),
                "float": lambda: student(whole),
                "int8": lambda: small(whole),
                "parts": lambda: plain.of_sums(rows("student")),
                "whole": lambda: student(rows("teacher")),
            }
            times = dict(zip(works, time_alternately(list(works.values()), KERNEL_RUNS), strict=True))
        pairs = {
            "student_over_teacher": ("plain", "teacher"),
            "int8_over_float": ("int8", "float"),
            "parts_over_whole": ("parts", "whole"),
        }
        return {name: times[one] / times[other] for name, (one, other) in pairs.items()}

    def read_over_feast(self) -> float:
        """Time to read a user's row by Feast's provider, as in requests / by `get_online_features`."""
        users = iter(self._cold_users(2 * READS))
        ours, theirs = time_alternately(
            [lambda: self._store.read_online(next(users)), lambda: self._store.read_by_service(next(users))], READS
        )
        return ours / theirs

    def train_over_gemm(self) -> float:
        """Rows per second of a training step / of a jitted step with its matrix products alone."""
        # in its own process, so serving and measuring processes do not import jax
        command = [sys.executable, "-m", "ctr_prediction.evaluation.studies.step_speed", str(self._config.model.batch)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        if done.returncode:
            raise LabError("the training step could not be measured", hint=done.stderr[-1000:])
        return float(json.loads(done.stdout)["ratio"])


def quantised(source: Path, target: Path) -> Path:
    """Write the network `source` to `target` with int8 weights and dynamically quantised activations."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(source, target, weight_type=QuantType.QInt8)
    return target
