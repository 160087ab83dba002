"""Three boosters as one ONNX tree ensemble with three targets. One call of ONNX Runtime replaces three of LightGBM.

LightGBM compares float64 thresholds with float64 inputs; serving has float32 inputs. A threshold is rounded down to
float32, so that every float32 input takes the same branch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import onnx
from onnx import TensorProto, helper

from eta_prediction.model.inputs import Floats
from infra.serving.onnx_model import OnnxModel

OPSETS = (17, 3)
"""versions of ai.onnx and ai.onnx.ml"""
ZERO = float(np.float32(1e-35))
"""LightGBM reads an input of at most this size as zero"""


class _Nodes:
    """The attributes of a TreeEnsembleRegressor, in the order of its nodes."""

    def __init__(self) -> None:
        self.nodes: dict[str, list[Any]] = {
            name: []
            for name in (
                "nodes_treeids", "nodes_nodeids", "nodes_featureids", "nodes_values", "nodes_modes",
                "nodes_truenodeids", "nodes_falsenodeids", "nodes_missing_value_tracks_true",
            )
        }  # fmt: skip
        self.targets: dict[str, list[Any]] = {
            name: [] for name in ("target_treeids", "target_nodeids", "target_ids", "target_weights")
        }

    def add_tree(self, tree: int, root: dict[str, Any], target: int) -> None:
        numbers = iter(range(1_000_000))
        self._add(tree, root, target, next(numbers), numbers)

    def _add(self, tree: int, found: dict[str, Any], target: int, number: int, numbers: Any) -> None:
        is_leaf = "leaf_value" in found
        left, right = (0, 0) if is_leaf else (next(numbers), next(numbers))
        values = (
            tree,
            number,
            0 if is_leaf else found["split_feature"],
            0.0 if is_leaf else _rounded_down(found["threshold"]),
            "LEAF" if is_leaf else "BRANCH_LEQ",
            left,
            right,
            0 if is_leaf else int(found["default_left"]),
        )
        for name, value in zip(self.nodes, values, strict=True):
            self.nodes[name].append(value)
        if is_leaf:
            for name, value in zip(self.targets, (tree, number, target, float(found["leaf_value"])), strict=True):
                self.targets[name].append(value)
            return
        if found["decision_type"] != "<=":
            raise ValueError(f"a split of the kind {found['decision_type']} cannot be exported")
        self._add(tree, found["left_child"], target, left, numbers)
        self._add(tree, found["right_child"], target, right, numbers)


def export_boosters(boosters: list[lgb.Booster], width: int, path: Path, sample: Floats) -> float:
    """Write the boosters as ONNX, float32[n, width] -> float32[n, boosters]. Returns the difference on `sample`.

    Raises `ValueError` if the difference is not below 1e-4.
    """
    nodes, tree = _Nodes(), 0
    for target, booster in enumerate(boosters):
        for found in booster.dump_model()["tree_info"]:
            nodes.add_tree(tree, found["tree_structure"], target)
            tree += 1
    attributes: dict[str, Any] = nodes.nodes | nodes.targets
    attributes |= {"n_targets": len(boosters), "aggregate_function": "SUM", "post_transform": "NONE"}
    node = helper.make_node("TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", **attributes)
    graph = helper.make_graph(
        [node],
        "boosters",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", width])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", len(boosters)])],
    )
    opsets = [helper.make_opsetid("", OPSETS[0]), helper.make_opsetid("ai.onnx.ml", OPSETS[1])]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), str(path))
    expected = np.stack([np.asarray(booster.predict(sample)) for booster in boosters], axis=1)
    difference = float(np.abs(OnnxModel(path, width=width)(sample) - expected).max(initial=0.0))
    if not difference < 1e-4:
        raise ValueError(f"{path.name} differs from the boosters by {difference}")
    return difference


def _rounded_down(threshold: float) -> float:
    """The largest float32 that LightGBM sends to the left: at most `threshold`, where it takes tiny inputs for zero."""
    if abs(threshold) <= ZERO:
        return ZERO if threshold >= 0 else float(np.nextafter(np.float32(-ZERO), np.float32(-np.inf)))
    near = np.float32(threshold)
    return float(near if float(near) <= threshold else np.nextafter(near, np.float32(-np.inf)))
