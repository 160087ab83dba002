"""Services and workers run without the packages that only builds and checks need: the image `serving` lacks them."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import packages_distributions

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from infra.settings import REPOSITORY
from lab.cli import TRAINING_PACKAGES
from lab.designs import load_designs

WITHOUT = """
import importlib, sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
"""
PARTS = ("lab.services.serving", "lab.services.working", "infra.serving.probe", "infra.feature_store.feast_import")


def locked(name: str) -> set[str]:
    text = (REPOSITORY / "requirements" / name).read_text()
    return {canonicalize_name(found) for found in re.findall(r"^([A-Za-z0-9._-]+)==", text, re.MULTILINE)}


def absent_modules() -> set[str]:
    """The top-level modules that no package of `serving.txt` has."""
    more, here = locked("lab.txt") - locked("serving.txt"), packages_distributions()
    return {module for module, owners in here.items() if {canonicalize_name(one) for one in owners} <= more}


def without_training(code: str) -> subprocess.CompletedProcess[str]:
    script = f"ABSENT = {sorted(absent_modules())!r}\n{WITHOUT}\n{code}"
    command = [sys.executable, "-c", script]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300, check=False)


def test_lock_of_serving_is_a_part_of_the_lock_of_the_lab() -> None:
    def pins(name: str) -> dict[str, str]:
        lines = re.findall(r"^([A-Za-z0-9._-]+==[^\s;]+)", (REPOSITORY / "requirements" / name).read_text(), re.M)
        return {Requirement(line).name: str(Requirement(line).specifier) for line in lines}

    assert pins("serving.txt").items() <= pins("lab.txt").items()


def test_command_line_knows_the_modules_of_training() -> None:
    assert absent_modules() >= TRAINING_PACKAGES
    assert {"jax", "mlflow", "lightgbm", "locust", "duckdb"} <= TRAINING_PACKAGES


def test_services_and_workers_import_no_package_of_training() -> None:
    names = [name for design in load_designs() for name in (design.app, design.worker, design.topics)]
    modules = [*PARTS, *(name.partition(":")[0] for name in names)]
    done = without_training(f"for name in {modules!r}:\n    importlib.import_module(name)")
    assert done.returncode == 0, done.stderr[-2000:]


def test_command_that_needs_training_says_where_it_runs() -> None:
    done = without_training(
        "sys.argv = ['lab', 'models', 'feed_ranking', '--preset', 'smoke']\nimport lab.cli\nlab.cli.main()"
    )
    assert done.returncode == 1
    assert "mlflow is not installed here" in done.stderr
    assert "docker compose run --rm build" in done.stderr
    assert "Traceback" not in done.stderr
