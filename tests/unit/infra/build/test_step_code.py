"""The imports of a module are read also if another thread parses at the same moment."""

from __future__ import annotations

import ast

import pytest

from infra.build import step_code
from infra.build.step_code import TRIES, parse

FAULT = "AST constructor recursion depth mismatch"


def failing(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    left, real = [times], ast.parse

    def parse_or_fail(source: str, name: str) -> ast.Module:
        left[0] -= 1
        if left[0] >= 0:
            raise SystemError(FAULT)
        return real(source, name)

    monkeypatch.setattr(step_code.ast, "parse", parse_or_fail)


def test_parse_tries_again_after_a_fault_of_the_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, TRIES - 1)
    assert isinstance(parse("import os", "one.py").body[0], ast.Import)


def test_parse_gives_up_after_its_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, TRIES)
    with pytest.raises(SystemError, match=FAULT):
        parse("import os", "one.py")


def test_wrong_code_is_refused_at_once() -> None:
    with pytest.raises(SyntaxError):
        parse("import", "one.py")
