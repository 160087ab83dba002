"""A reference app listens until its block ends, and one that does not start is an error."""

from __future__ import annotations

from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from infra.errors import LabError
from infra.evaluation.reference_app import reference_app


def test_a_module_is_served_until_the_block_ends(tmp_path: Path) -> None:
    with reference_app("http.server", "--bind", "127.0.0.1", "--directory", str(tmp_path)) as url:
        assert urlopen(url, timeout=5).status == 200
    with pytest.raises(URLError):
        urlopen(url, timeout=5)


def test_a_module_that_ends_at_once_is_an_error() -> None:
    with pytest.raises(LabError, match="does not listen"), reference_app("infra.errors"):
        pass
