"""The page of growth is rendered from its data, and `designs/scaling.md` explains every steep line."""

from __future__ import annotations

import pytest

from lab.bench.growth.lines import EXPLAINED, lines_of
from lab.bench.growth.page import DIRECTORY, page_of, read_growth
from lab.bench.growth.run import PRESETS
from lab.designs import NAMES, find_design

SCALING = DIRECTORY.parent / "scaling.md"


def test_page_is_rendered_from_its_data() -> None:
    assert (DIRECTORY / "README.md").read_text() == page_of(read_growth())


@pytest.mark.parametrize("name", NAMES)
def test_every_design_has_published_sizes_and_a_chart(name: str) -> None:
    assert tuple(size.preset for size in read_growth()[name].sizes) == PRESETS
    assert (DIRECTORY / f"{find_design(name).container}.svg").exists()


@pytest.mark.parametrize("name", NAMES)
def test_every_exponent_above_the_bound_is_explained(name: str) -> None:
    text = SCALING.read_text()
    title = f"## {find_design(name).title}"
    section = text[text.index(title) :].partition("\n## ")[0] if title in text else ""
    steep = {
        line.what
        for line in lines_of(read_growth()[name].sizes)
        if line.exponent is not None and line.exponent > EXPLAINED
    }
    assert {what for what in steep if f"`{what}`" not in section} == set(), "not explained on designs/scaling.md"
