"""Writes a trained network as an ONNX graph, node by node.

A network gives its graph in a method beside its JAX code. The exporters that trace JAX code import hundreds of modules,
which takes more processor time than the training of a small network. `save` compares the file with the JAX code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from infra.serving.onnx_model import OnnxModel

Floats = npt.NDArray[np.float32]
INPUT, OUTPUT = "x", "y"
OPSET, IR_VERSION = 17, 9
LARGEST_DIFFERENCE = 1e-4


class OnnxGraph:
    """Nodes and weights of one network, float32[n, width] -> float32[n, …]. Values are named by strings."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []

    def weight(self, values: npt.ArrayLike | jax.Array, dtype: type[np.generic] = np.float32) -> str:
        """The name of a constant."""
        name = f"w{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        """The name of the output of a new node of ONNX's operator `op`."""
        (output,) = self.add_all(op, 1, *inputs, **attributes)
        return output

    def add_all(self, op: str, outputs: int, *inputs: str, **attributes: Any) -> list[str]:
        """The names of the outputs of a new node with several outputs."""
        names = [f"v{len(self._nodes)}_{number}" for number in range(outputs)]
        self._nodes.append(helper.make_node(op, inputs, names, **attributes))
        return names

    def model(self, width: int, output: str, shape: Sequence[int]) -> onnx.ModelProto:
        """The graph as a model. `output` names the value that it returns, float32[n, *shape]."""
        nodes = [*self._nodes, helper.make_node("Identity", [output], [OUTPUT])]
        graph = helper.make_graph(
            nodes,
            "network",
            [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["n", width])],
            [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["n", *shape])],
            self._weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        onnx.checker.check_model(model, full_check=True)
        return model


def export(
    function: Callable[[jax.Array], jax.Array], nodes: Callable[[OnnxGraph, str], str], path: Path, sample: Floats
) -> float:
    """Write a network as ONNX: `nodes(graph, input)` adds its nodes and returns the name of its output.

    Returns the largest relative difference to its JAX code `function` on `sample` float32[any, width], its first row
    and no row. Raises `ValueError` if the difference is not below `LARGEST_DIFFERENCE`.
    """
    graph, width = OnnxGraph(), sample.shape[1]
    expected = np.asarray(jax.jit(function)(jnp.asarray(sample)))  # compiled as a whole, not one operation at a time
    onnx.save(graph.model(width, nodes(graph, INPUT), expected.shape[1:]), str(path))
    model, difference = OnnxModel(path, width=width), 0.0
    for rows in (len(sample), 1, 0):  # a graph of many rows may still fail for one or none
        found, wanted = model(sample[:rows]), expected[:rows]
        if found.shape != wanted.shape:
            raise ValueError(f"{path.name} returns {found.shape}, the trained network {wanted.shape}")
        difference = max(difference, float((np.abs(found - wanted) / (1 + np.abs(wanted))).max(initial=0.0)))
    if not difference < LARGEST_DIFFERENCE:
        raise ValueError(f"{path.name} differs from the trained network by {difference}")
    return difference
