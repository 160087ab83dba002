"""A killed training resumes from its checkpoint, and more devices give the same losses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import optax
import pytest
from flax import nnx

from infra.training import fitting, networks
from infra.training.fitting import Batch, Fit, Plan, fit
from infra.training.networks import Mlp, created

ROWS = 4096


def loss(model: Mlp, batch: Batch) -> jax.Array:
    return ((model(batch["x"])[:, 0] - batch["y"]) ** 2).mean()


def toy(plan: Plan, stop_after: int | None = None, rows: int = ROWS, seed: int = 0) -> Fit[Mlp]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 8)).astype(np.float32)
    y = np.sin(x[:, 0]) + x[:, 1] * x[:, 2]

    def report(share: float, text: str) -> None:
        if stop_after is not None and share >= stop_after / plan.epochs:
            raise KeyboardInterrupt

    return fit(Mlp(x, (32, 16), 1, nnx.Rngs(3)), loss, {"x": x, "y": y.astype(np.float32)}, plan, report)


def test_killed_training_resumes_and_ends_with_the_same_losses_and_weights(tmp_path: Path) -> None:
    plan = Plan(epochs=4, batch=256, learning_rate=3e-3, seed=1, checkpoints=tmp_path / "one")
    whole = toy(plan)
    assert whole.resumed == 0
    assert whole.losses[-1] < whole.losses[0]

    cut = Plan(epochs=4, batch=256, learning_rate=3e-3, seed=1, checkpoints=tmp_path / "two")
    with pytest.raises(KeyboardInterrupt):
        toy(cut, stop_after=2)
    resumed = toy(cut)
    assert resumed.resumed == 2
    np.testing.assert_allclose(resumed.losses, whole.losses, rtol=1e-5)
    for left, right in zip(
        jax.tree.leaves(nnx.state(whole.model)), jax.tree.leaves(nnx.state(resumed.model)), strict=True
    ):
        np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-6)


def test_another_seed_gives_other_losses() -> None:
    one, two = (toy(Plan(epochs=1, batch=256, learning_rate=3e-3, seed=seed)) for seed in (1, 2))
    assert one.losses != two.losses


def test_trainings_of_equal_shapes_share_one_compiled_update() -> None:
    """Their data, their length and their learning rates differ."""
    toy(Plan(epochs=1, batch=128, learning_rate=3e-3, seed=1))
    compiled = fitting._update._cache_size()
    longer = toy(Plan(epochs=2, batch=128, learning_rate=1e-3, seed=2), rows=2 * ROWS, seed=5)
    assert fitting._update._cache_size() == compiled
    assert longer.losses[1] < longer.losses[0]


def test_networks_of_equal_shapes_are_drawn_by_one_function(monkeypatch: pytest.MonkeyPatch) -> None:
    """So a later process finds the compiled function in JAX's cache. Data and seeds of the networks differ."""
    texts = []

    class Recorded:
        def __init__(self, function: Any) -> None:
            self.function = jax.jit(function)

        def __call__(self, key: jax.Array) -> Any:
            texts.append(self.function.lower(key).as_text())
            return self.function(key)

    monkeypatch.setattr(networks, "jax", SimpleNamespace(jit=Recorded, random=jax.random))
    rng = np.random.default_rng(0)
    for seed in (1, 2):
        x = rng.normal(seed, 1.0, (64, 8)).astype(np.float32)
        found = created(lambda rngs, x=x: Mlp(x, (16, 4), 1, rngs), seed)
        np.testing.assert_array_equal(found.mean, x.mean(0))
    assert texts[0] == texts[1]


def test_learning_rate_fades_as_a_cosine_decay_of_optax_does() -> None:
    """The same losses as an update whose schedule is a constant of its compiled function."""
    plan, rng = Plan(epochs=2, batch=256, learning_rate=3e-3, seed=1), np.random.default_rng(0)
    x = rng.normal(size=(ROWS, 8)).astype(np.float32)
    y = (np.sin(x[:, 0]) + x[:, 1] * x[:, 2]).astype(np.float32)
    steps = ROWS // plan.batch
    schedule = optax.cosine_decay_schedule(plan.learning_rate, plan.epochs * steps, alpha=0.02)
    model = Mlp(x, (32, 16), 1, nnx.Rngs(3))
    optimizer = nnx.Optimizer(model, optax.adamw(schedule, weight_decay=1e-4), wrt=nnx.Param)

    @nnx.jit
    def update(model: Mlp, optimizer: nnx.Optimizer[Mlp], batch: Batch) -> jax.Array:
        value, gradients = nnx.value_and_grad(loss)(model, batch)
        optimizer.update(model, gradients)
        found: jax.Array = value
        return found

    losses = []
    for epoch in range(plan.epochs):
        order = np.random.default_rng([plan.seed, epoch]).permutation(ROWS).reshape(steps, plan.batch)
        found = [float(update(model, optimizer, {"x": x[chosen], "y": y[chosen]})) for chosen in order]
        losses.append(np.mean(found))
    np.testing.assert_allclose(toy(plan).losses, losses, rtol=1e-4)


def test_four_devices_give_the_losses_of_one() -> None:
    """Each device holds a slice of every batch; XLA sums the gradients."""
    code = (
        "import json, jax; from tests.integration.test_fitting import Plan, toy; "
        "print(json.dumps([len(jax.local_devices()), *toy(Plan(3, 256, 3e-3, 1)).losses]))"
    )
    flags = {
        "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=4",
        "JAX_PLATFORMS": "cpu",
    }
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=os.environ | flags, capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode == 0, done.stderr
    devices, *losses = json.loads(done.stdout.splitlines()[-1])
    assert (devices, len(jax.local_devices())) == (4, 1)
    np.testing.assert_allclose(losses, toy(Plan(3, 256, 3e-3, 1)).losses, rtol=1e-4)
