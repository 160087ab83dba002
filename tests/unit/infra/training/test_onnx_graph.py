"""A network as an ONNX graph: ONNX Runtime computes what the JAX code computes, and a wrong graph is not registered."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import pytest
from flax import nnx

from infra.serving.onnx_model import OnnxModel
from infra.training.networks import FARTHEST, Mlp, created
from infra.training.onnx_graph import OnnxGraph, export

X = np.random.default_rng(0).normal(2.0, 3.0, (64, 5)).astype(np.float32)


def net() -> Mlp:
    found = Mlp(X, (8, 4), 2, nnx.Rngs(1))
    found.wide.kernel[...] = jnp.linspace(-1.0, 1.0, 10).reshape(5, 2)
    return found


@pytest.mark.parametrize("rows", [0, 1, 7])
def test_exported_network_gives_what_jax_gives(tmp_path: Path, rows: int) -> None:
    found = net()
    export(found, found.nodes, tmp_path / "net.onnx", X)
    other = np.random.default_rng(1).normal(0.0, 40.0, (rows, 5)).astype(np.float32)  # many values are clipped
    result = OnnxModel(tmp_path / "net.onnx", width=5)(other)
    assert result.shape == (rows, 2)
    np.testing.assert_allclose(result, np.asarray(found(jnp.asarray(other))), rtol=1e-5, atol=1e-5)


def test_wrong_graph_is_refused(tmp_path: Path) -> None:
    found = net()

    def with_an_offset(graph: OnnxGraph, x: str) -> str:
        return graph.add("Sub", found.nodes(graph, x), graph.weight(0.01))

    with pytest.raises(ValueError, match=r"net\.onnx differs from the trained network"):
        export(found, with_an_offset, tmp_path / "net.onnx", X)


def test_graph_with_another_shape_is_refused(tmp_path: Path) -> None:
    found = net()

    def first_output(graph: OnnxGraph, x: str) -> str:
        return graph.add("Gather", found.nodes(graph, x), graph.weight([0], np.int64), axis=1)

    with pytest.raises((ValueError, onnx.shape_inference.InferenceError)):
        export(found, first_output, tmp_path / "net.onnx", X)


def test_unknown_operator_is_refused(tmp_path: Path) -> None:
    with pytest.raises(onnx.checker.ValidationError):
        export(lambda x: x, lambda graph, x: graph.add("NoSuchOperator", x), tmp_path / "net.onnx", X)


def test_clipped_inputs_have_no_further_effect(tmp_path: Path) -> None:
    found = net()
    export(found, found.nodes, tmp_path / "net.onnx", X)
    edge = X.mean(0) + 2 * FARTHEST * X.std(0)
    near, far = edge[None].astype(np.float32), (10 * edge)[None].astype(np.float32)
    model = OnnxModel(tmp_path / "net.onnx", width=5)
    np.testing.assert_array_equal(model(near), model(far))


def test_network_that_is_created_compiled_has_the_same_weights() -> None:
    one = Mlp(X, (8, 4), 2, nnx.Rngs(1))
    other = created(lambda rngs: Mlp(X, (8, 4), 2, rngs), seed=1)
    for left, right in zip(jax.tree.leaves(nnx.state(one)), jax.tree.leaves(nnx.state(other)), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-7)
