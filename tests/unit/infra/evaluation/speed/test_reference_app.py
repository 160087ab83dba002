"""A reference app serves until its block ends, and an app that does not start raises an error."""

from __future__ import annotations

from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from infra.errors import LabError
from infra.evaluation.speed.reference_app import reference_app


def test_reference_app_serves_the_module_until_the_block_ends(tmp_path: Path) -> None:
    with reference_app("http.server", "--bind", "127.0.0.1", "--directory", str(tmp_path)) as url:
        assert urlopen(url, timeout=5).status == 200
    with pytest.raises(URLError):
        urlopen(url, timeout=5)


def test_reference_app_raises_when_the_module_exits_immediately() -> None:
    with pytest.raises(LabError, match="does not listen"), reference_app("infra.errors"):
        pass
