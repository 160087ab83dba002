"""A killed training of the wide-and-deep model resumes, and two devices give the results of one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import pytest
from flax import nnx

from ctr_prediction.offline.networks.loop import Fit, Plan, fit, make_step
from ctr_prediction.offline.networks.wide_deep import Shape, Table, WideDeep

ROWS, SLOTS, SHARE = 4096, 4, 0.2
LOOKS = np.array([1.0, 0.6, 0.45, 0.35])
SHAPE = Shape(
    numeric=2,
    deep=(Table("user", 50, 2, 0.5), Table("ad", 30, 2, 0.5)),
    wide=(Table("pair", 256, 1, 1.0),),
    products=(("user", "ad"),),
    scaled=(("user", 0),),
)


def rows() -> Mapping[str, npt.NDArray[Any]]:
    """Return clicks that depend on numbers, ids and slots. Users and ads occur many times."""
    rng = np.random.default_rng(0)
    user, ad, slot = (rng.integers(0, size, ROWS) for size in (50, 30, SLOTS))
    numeric = rng.normal(size=(ROWS, 2))
    logit = -1.0 + numeric[:, 0] + np.where(user % 5 == ad % 5, 1.0, -0.5)
    clicked = rng.random(ROWS) < LOOKS[slot] / (1 + np.exp(-logit))
    ids = {"user": user, "ad": ad, "pair": (31 * user + ad) % 256, "slot": slot}
    floats = {"numeric": numeric, "clicked": clicked, "weight": np.ones(ROWS)}
    return {name: values.astype(np.int32) for name, values in ids.items()} | {
        name: values.astype(np.float32) for name, values in floats.items()
    }


def plan(epochs: int, seed: int = 1, checkpoints: Path | None = None) -> Plan:
    return Plan(epochs, 256, 0.003, 0.2, 1e-4, SHARE, seed, checkpoints)


def toy(how: Plan, stop_after: int | None = None) -> Fit:
    def report(share: float, text: str) -> None:
        if stop_after is not None and share >= stop_after / how.epochs:
            raise KeyboardInterrupt

    return fit(SHAPE, WideDeep(SHAPE, (16, 8), SLOTS, 0.1, seed=3), rows(), how, report)


def learned(of: Fit) -> list[npt.NDArray[Any]]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(nnx.state(of.model))] + [
        of.tables[name] for name in sorted(of.tables)
    ]


def sums(of: Fit) -> dict[str, float]:
    return {name: float(np.abs(table).sum()) for name, table in of.tables.items()}


@pytest.fixture(scope="module")
def whole() -> Fit:
    """A training without interruption and without checkpoints."""
    return toy(plan(4))


def test_training_reduces_the_loss(whole: Fit) -> None:
    assert whole.resumed == 0
    assert len(whole.losses) == 4
    assert whole.losses[3] < whole.losses[0] - 0.02
    assert {name: table.shape for name, table in whole.tables.items()} == {
        "user": (50, 2),
        "ad": (30, 2),
        "pair": (256, 1),
    }


def test_killed_training_resumes_with_the_same_losses_weights_and_tables(whole: Fit, tmp_path: Path) -> None:
    cut = plan(4, checkpoints=tmp_path / "kept")
    with pytest.raises(KeyboardInterrupt):
        toy(cut, stop_after=2)
    resumed = toy(cut)
    assert resumed.resumed == 2
    np.testing.assert_allclose(resumed.losses, whole.losses, rtol=1e-6)
    for left, right in zip(learned(resumed), learned(whole), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-6)

    done = toy(cut)
    assert (done.resumed, done.losses) == (4, resumed.losses)
    for left, right in zip(learned(done), learned(resumed), strict=True):
        np.testing.assert_array_equal(left, right)


def test_learning_rate_of_tables_decays_during_training() -> None:
    """The update of the second of two steps is half as large as the same update in the first step."""
    data = rows()
    batch = {name: jnp.asarray(values[:256]) for name, values in data.items()}
    step, state = make_step(SHAPE, WideDeep(SHAPE, (4,), SLOTS, 0.1, seed=3), data, plan(1), 2)
    state, _ = step(state, batch)
    assert int(state["step"]) == 1
    at = {name: np.array(table["values"]) for name, table in state["tables"].items()}
    as_first, _ = step(jax.tree.map(jnp.copy, state) | {"step": jnp.zeros((), jnp.int32)}, batch)
    second, _ = step(state, batch)
    for name, before in at.items():
        long, short = (np.asarray(one["tables"][name]["values"]) - before for one in (as_first, second))
        assert np.abs(short).max() > 1e-3
        np.testing.assert_allclose(short, 0.51 * long, rtol=1e-2, atol=1e-5, err_msg=name)


def test_two_devices_give_the_losses_and_tables_of_one(whole: Fit) -> None:
    """Each device takes a slice of every batch. Table rows in both slices get the gradients of both devices."""
    code = (
        "import json, jax, numpy as np; "
        "from tests.integration.ctr_prediction.offline.test_loop import plan, sums, toy; "
        "found = toy(plan(4)); "
        "print(json.dumps([len(jax.local_devices()), found.losses, sums(found)]))"
    )
    flags = {
        "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=2",
        "JAX_PLATFORMS": "cpu",
    }
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=os.environ | flags, capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode == 0, done.stderr
    devices, losses, of_two = json.loads(done.stdout.splitlines()[-1])
    assert (devices, len(jax.local_devices())) == (2, 1)
    np.testing.assert_allclose(losses, whole.losses, rtol=1e-4)
    assert of_two == pytest.approx(sums(whole), rel=1e-3)
