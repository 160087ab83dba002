"""`make quick` selects the unit tests nearest to the changed modules."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from infra.settings import REPOSITORY


@pytest.fixture(scope="module")
def quick() -> ModuleType:
    spec = importlib.util.spec_from_file_location("quick", REPOSITORY / "scripts" / "quick.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["quick"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("pkg/sub/x.py", "pkg/sub/y.py", "pkg/far/deep/z.py", "pkg/top.py", "other/a.py", "README.md"):
        write(tmp_path / name)
    for name in ("pkg/sub/test_x.py", "pkg/sub/test_more.py", "pkg/far/test_far.py"):
        write(tmp_path / "tests" / "unit" / name)
    write(tmp_path / "tests/contracts/test_c.py")
    return tmp_path


def write(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")


@pytest.mark.parametrize(
    ("changed", "chosen"),
    [
        (["pkg/sub/x.py"], ["tests/unit/pkg/sub/test_x.py"]),
        (["pkg/sub/y.py"], ["tests/unit/pkg/sub"]),
        (["pkg/sub/x.py", "pkg/sub/y.py"], ["tests/unit/pkg/sub"]),
        (["pkg/sub/deleted.py"], ["tests/unit/pkg/sub"]),
        (["pkg/far/deep/z.py"], ["tests/unit/pkg/far"]),
        (["pkg/top.py"], ["tests/unit/pkg"]),
        (["pkg/top.py", "pkg/far/deep/z.py"], ["tests/unit/pkg"]),
        (["other/a.py"], []),
        (["README.md"], []),
        (["tests/unit/pkg/sub/test_more.py"], ["tests/unit/pkg/sub/test_more.py"]),
        (["tests/unit/pkg/sub/test_deleted.py"], []),
        (["tests/contracts/test_c.py"], []),
    ],
)
def test_changed_file_selects_its_nearest_unit_tests(
    quick: ModuleType, root: Path, changed: list[str], chosen: list[str]
) -> None:
    assert quick.unit_tests(changed, root) == chosen


def test_checks_skip_tools_that_the_change_cannot_affect(quick: ModuleType, root: Path) -> None:
    assert quick.checks([], root) == []
    assert quick.checks(["README.md"], root) == []
    only_a_test = [command[0] for command in quick.checks(["tests/unit/pkg/sub/test_more.py"], root)]
    assert only_a_test == ["ruff", "ruff", "pytest"]
    with_code = quick.checks(["pkg/sub/x.py", "pkg/sub/deleted.py"], root)
    assert [command[0] for command in with_code] == ["ruff", "ruff", "lint-imports", "pytest"]
    assert with_code[0] == ["ruff", "check", "pkg/sub/x.py"]
