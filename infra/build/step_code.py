"""Hashes the code of a step: every module of the repository that the step's target imports.

A build runs a step again if its code changed, and skips the step otherwise. This module follows the import statements
of the target's module without importing it. Two kinds of module are left out: the platform that runs steps, which does
not affect a step's output, and a design's `config`, whose values are part of the fingerprint.
"""

from __future__ import annotations

import ast
import hashlib
import time
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from infra.errors import DependencyError
from infra.settings import REPOSITORY

PLATFORM = ("infra.build", "infra.design", "infra.errors", "infra.files", "infra.settings", "infra.telemetry")

TRIES, PAUSE_S = 5, 0.01
BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")
"""the fields of a statement that hold statements"""


def code_digest(target: str) -> str:
    """SHA-256 of the modules behind `target` (`package.module:name`).

    Raises `DependencyError` if the repository has no such module.
    """
    digest = hashlib.sha256()
    for path in step_modules(target):
        digest.update(str(path.relative_to(REPOSITORY)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def step_modules(target: str) -> list[Path]:
    """The files of the repository that `target` imports, directly or transitively, sorted."""
    module = target.partition(":")[0]
    first = _file_of(module)
    if first is None:
        raise DependencyError(f"the step {target} has no module {module}")
    found, waiting = {first}, [first]
    while waiting:
        path = waiting.pop()
        new = set(_imported(path, path.stat().st_mtime_ns)) - found
        found |= new
        waiting += new
    return sorted(found)


@lru_cache(maxsize=4096)
def _imported(path: Path, mtime_ns: int) -> tuple[Path, ...]:
    """The files that one module imports. `mtime_ns` is part of the cache key, so a changed file is parsed again."""
    names = set(_names(parse(path.read_text(), str(path))))
    files = {_file_of(name) for name in names if not _is_left_out(name)}
    return tuple(file for file in files if file is not None)


def parse(source: str, name: str) -> ast.Module:
    """Parse a module. CPython 3.11 and 3.12 raise `SystemError` if another thread parses at the same moment, for
    instance to print a traceback (cpython issue 106905), so this function tries again."""
    for _ in range(TRIES - 1):
        try:
            return ast.parse(source, name)
        except SystemError:
            time.sleep(PAUSE_S)
    return ast.parse(source, name)


def _names(tree: ast.Module) -> Iterator[str]:
    """Dotted names that a module's imports may load: modules, and imported members that may be modules."""
    for node in _statements(tree.body):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _statements(body: Sequence[ast.AST]) -> Iterator[ast.AST]:
    """All statements, also those inside others. `ast.walk` also visits each part of each expression, which is a
    fifth of the time of all digests."""
    for node in body:
        yield node
        for inner in BLOCKS:
            yield from _statements(getattr(node, inner, ()))


def _is_left_out(module: str) -> bool:
    platform = any(module == name or module.startswith(f"{name}.") for name in PLATFORM)
    return platform or module.partition(".")[2].partition(".")[0] == "config"


def _file_of(module: str) -> Path | None:
    """The file of a module or package of the repository; None for a library or a name inside a module."""
    path = REPOSITORY / module.replace(".", "/")
    if path.with_suffix(".py").is_file():
        return path.with_suffix(".py")
    return path / "__init__.py" if (path / "__init__.py").is_file() else None
