"""The import of Feast leaves out libraries that the lab does not use, and other modules import them as usual."""

from __future__ import annotations

import json
import subprocess
import sys

PROGRAM = """
import json, sys
from infra.feature_store import feast_import, feast_store
left_out = [name for name in ("fastapi", "sqlalchemy", "feast.ui_server") if name not in sys.modules]
import fastapi, fastapi.concurrency
from feast.errors import HttpStatusCode
from feast.infra.registry.sql import SqlRegistry
print(json.dumps([left_out, fastapi.FastAPI.__name__, fastapi.concurrency.__file__ != None,
                  HttpStatusCode.HTTP_404_NOT_FOUND, SqlRegistry.__name__]))
"""


def test_import_of_feast_leaves_out_unused_libraries_for_itself_alone() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=300, check=True)
    assert json.loads(done.stdout) == [
        ["fastapi", "sqlalchemy", "feast.ui_server"],
        "FastAPI",
        True,
        404,
        "SqlRegistry",
    ]
