"""Generates small click log files for tests."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np


def criteo_lines(rows: int, seed: int = 0) -> list[str]:
    """Generate lines in the Criteo format. About a third of the cells are blank, and some counts are negative."""
    rng = np.random.default_rng(seed)
    clicked = rng.random(rows) < 0.3
    counts = rng.integers(-2, 50, (rows, 13))
    words = rng.integers(0, 40, (rows, 26))
    blank = rng.random((rows, 39)) < 0.3
    return [
        "\t".join(
            [
                str(int(clicked[row])),
                *("" if blank[row, at] else str(counts[row, at]) for at in range(13)),
                *("" if blank[row, 13 + at] else f"{words[row, at]:08x}" for at in range(26)),
            ]
        )
        for row in range(rows)
    ]


def write(path: Path, lines: list[str], *, packed: bool = False) -> Path:
    text = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(text) if packed else text)
    return path


def crossed_lines(rows: int, seed: int = 0) -> list[str]:
    """Generate CSV lines with a header. Only the interaction of columns `page` and `ad` predicts clicks; neither column
    alone does."""
    rng = np.random.default_rng(seed)
    one, other, size = rng.integers(0, 6, rows), rng.integers(0, 6, rows), rng.normal(size=rows)
    rate = np.where((one + other) % 2 == 0, 0.75, 0.25)
    clicked = rng.random(rows) < rate
    return [
        "row,at,page,ad,size,always,click",
        *(
            f"{row},2026-01-{1 + row * 28 // rows:02d} {row % 24:02d}:00:00,p{one[row]},a{other[row]},{size[row]:.3f},"
            f"x,{int(clicked[row])}"
            for row in range(rows)
        ),
    ]
