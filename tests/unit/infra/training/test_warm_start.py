"""A network starts from stored weights of the same shapes, and from the served model alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from infra.build.runner import StepContext
from infra.registry.release import CURRENT, Release
from infra.settings import Settings
from infra.training.networks import Mlp
from infra.training.warm_start import served_weights, start_from, write_weights
from tests.support.tiny import tiny_design

X = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)


def network(seed: int, width: int = 8) -> Mlp:
    return Mlp(X, (width,), 2, nnx.Rngs(seed))


@pytest.fixture
def context(tmp_path: Path) -> StepContext:
    """A context of a design whose served model has the weights of network 1, under the name heavy."""
    settings = Settings(home=tmp_path, preset="smoke")
    root = settings.design_root("tiny")
    trained, released = root / "steps" / "train" / "a", root / "steps" / "release" / "a"
    for out in (trained, released):
        out.mkdir(parents=True)
    write_weights(trained, {"heavy": network(1)})
    (trained / "registered.json").write_text(json.dumps({"digest": "served"}))
    Release("tiny", "tiny-smoke", 1, "served", "", "", "", world_now=0.0).write(released)
    (root / CURRENT).write_text(json.dumps({"train": str(trained), "release": str(released)}))
    return StepContext(tiny_design(), settings, None, tmp_path, {}, lambda share, text: None)


def test_a_network_with_stored_weights_computes_the_same(context: StepContext) -> None:
    stored, other = network(1), network(2)
    assert not np.allclose(stored(jnp.asarray(X)), other(jnp.asarray(X)))
    assert start_from(other, "heavy", served_weights(context))
    np.testing.assert_array_equal(stored(jnp.asarray(X)), other(jnp.asarray(X)))


def test_weights_of_another_shape_or_name_change_nothing(context: StepContext) -> None:
    weights = served_weights(context)
    for name, width in (("heavy", 9), ("light", 8)):
        model, same = network(2, width), network(2, width)
        assert not start_from(model, name, weights)
        np.testing.assert_array_equal(model(jnp.asarray(X)), same(jnp.asarray(X)))


def test_only_the_served_model_lends_its_weights(context: StepContext) -> None:
    assert served_weights(context)
    assert not served_weights(replace(context, design=tiny_design(as_of="2026-01-09"))), "a date knows no later model"
    root = context.settings.design_root("tiny")
    (root / "steps" / "train" / "a" / "registered.json").write_text(json.dumps({"digest": "refused"}))
    assert not served_weights(context)
    (root / CURRENT).unlink()
    assert not served_weights(context)
