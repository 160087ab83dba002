"""`make dashboards`: writes the dashboards as JSON. A contract test compares the files with the modules."""

from __future__ import annotations

import importlib
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

DIRECTORY = Path(__file__).resolve().parents[2] / "infra" / "deploy" / "grafana" / "dashboards"
NAMES = ("overview", "feed_ranking", "ctr_prediction", "eta_prediction", "stream", "builds")


def files() -> dict[Path, str]:
    """Return path -> content of each dashboard."""
    modules = {name: importlib.import_module(f"scripts.dashboards.{name}") for name in NAMES}
    encoder = JSONEncoder(sort_keys=True, indent=1)
    return {
        DIRECTORY / f"{name}.json": encoder.encode(module.build().build()) + "\n" for name, module in modules.items()
    }


def main() -> None:
    for path, content in files().items():
        path.write_text(content)
        print(path.relative_to(DIRECTORY.parents[3]))


if __name__ == "__main__":
    main()
