"""`make quick`: checks the changed files in seconds with ruff, the import contracts and their unit tests.

Changed files are untracked files and files that differ from the merge base with the main branch, committed or not.
Without a main branch, or on the main branch itself, they are the files that differ from HEAD.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BIN = ROOT / ".venv" / "bin"
MAIN = ("main", "origin/main", "master", "origin/master")


def main() -> int:
    """Run the checks one after the other and return the first exit code that is not 0."""
    changed = changed_files()
    commands = checks(changed, ROOT)
    for command in commands:
        print("$", *command, flush=True)
        if code := subprocess.run([str(BIN / command[0]), *command[1:]], cwd=ROOT, check=False).returncode:
            return code
    print(f"quick: {len(changed)} changed files, {len(commands)} checks passed; `make test` runs everything")
    return 0


def checks(changed: Iterable[str], root: Path) -> list[list[str]]:
    """Return the commands that check these files. File names are relative to `root`."""
    python = [name for name in changed if name.endswith(".py") and (root / name).exists()]
    tests = unit_tests(changed, root)
    found = [["ruff", "check", *python], ["ruff", "format", "--check", *python]] if python else []
    if any(not name.startswith("tests/") for name in changed if name.endswith((".py", ".toml"))):
        found.append(["lint-imports"])
    if tests:
        parallel = ["-n", "2", "--dist", "loadfile"] if len(tests) > 3 else []
        found.append(["pytest", "--durations=3", "-m", "not timing and not alone", *parallel, *tests])
    return found


def unit_tests(changed: Iterable[str], root: Path) -> list[str]:
    """Return the files and folders of unit tests to run, sorted, without any that lies inside another one.

    A changed `package/sub/x.py` selects `tests/unit/package/sub/test_x.py` if it exists, else the folder
    `tests/unit/package/sub`, else the nearest existing folder above that one. A changed unit test selects itself.
    """
    unit = Path("tests/unit")
    chosen: set[Path] = set()
    for name in changed:
        path = Path(name)
        if path.suffix != ".py":
            continue
        if path.is_relative_to(unit):
            if path.name.startswith("test_") and (root / path).exists():
                chosen.add(path)
        elif path.parts[0] != "tests" and (found := _test_of(path, unit, root)) is not None:
            chosen.add(found)
    return [str(path) for path in sorted(chosen) if not chosen & set(path.parents)]


def _test_of(path: Path, unit: Path, root: Path) -> Path | None:
    file = unit / path.parent / f"test_{path.name}"
    if (root / file).exists():
        return file
    for folder in (unit / path.parent, *(unit / path.parent).parents):
        if folder == unit:
            return None
        if (root / folder).is_dir():
            return folder
    return None


def changed_files() -> list[str]:
    base = merge_base()
    names = git("diff", "--name-only", "-z", base) + git("ls-files", "--others", "--exclude-standard", "-z")
    return sorted({name for name in names.split("\0") if name})


def merge_base() -> str:
    """Return the merge base of HEAD and the main branch, or `HEAD` without a main branch."""
    for name in MAIN:
        found = subprocess.run(
            ["git", "merge-base", "HEAD", name], cwd=ROOT, capture_output=True, text=True, check=False
        )
        if found.returncode == 0:
            return found.stdout.strip()
    return "HEAD"


def git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    sys.exit(main())
