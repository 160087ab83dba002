"""A killed training resumes from its checkpoint, and more devices give the same losses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx

from infra.training.fitting import Batch, Fit, Plan, fit
from infra.training.networks import Mlp

ROWS = 4096


def toy(plan: Plan, stop_after: int | None = None) -> Fit[Mlp]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, 8)).astype(np.float32)
    y = np.sin(x[:, 0]) + x[:, 1] * x[:, 2]

    def loss(model: Mlp, batch: Batch) -> jax.Array:
        return ((model(batch["x"])[:, 0] - batch["y"]) ** 2).mean()

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
