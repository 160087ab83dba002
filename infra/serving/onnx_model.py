"""An ONNX network as a function on numpy arrays: one thread, no spinning. The caller verifies the bytes first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from infra.errors import CorruptArtifact, ModelUnavailable


class OnnxModel:
    """A loaded network: float32[n, width] -> float32[n, …]. Thread-safe."""

    def __init__(self, path: Path, *, width: int) -> None:
        """Load the verified file `path`. Raises `CorruptArtifact` if it is not a network with input width `width`."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.enable_cpu_mem_arena = False  # batch sizes vary, and the arena never frees the largest one
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
        except Exception as exc:  # onnxruntime's exceptions share no base class
            raise CorruptArtifact(f"{path.name} is not a network that ONNX Runtime can load: {exc}") from exc
        (self._input,) = self._session.get_inputs()
        if self._input.shape[-1] != width:
            raise CorruptArtifact(
                f"{path.name} takes {self._input.shape[-1]} inputs, but its manifest requires {width}"
            )

    def __call__(self, inputs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        output: npt.NDArray[np.float32] = self._session.run(None, {self._input.name: inputs})[0]
        return output


class MissingModel:
    """Placeholder for a network that failed to load. Every call raises `ModelUnavailable`, so responses are marked as
    degraded."""

    def __init__(self, name: str, why: str) -> None:
        self._name, self._why = name, why

    def __call__(self, inputs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        raise ModelUnavailable(self._name, self._why)
