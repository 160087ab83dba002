"""A service logs its own messages from info and messages of libraries from warning."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from infra.telemetry.logs import configure_logs

NAMES = ("", "infra", "lab", "__main__", "a_design", "faiss", "faiss.loader", "uvicorn", "uvicorn.error")


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Restore the levels and handlers of the loggers, which are global to the process."""
    before = {
        name: (logging.getLogger(name).level, list(logging.getLogger(name).handlers), logging.getLogger(name).propagate)
        for name in (*NAMES, "uvicorn.access")
    }
    yield
    for name, (level, handlers, propagate) in before.items():
        logger = logging.getLogger(name)
        logger.setLevel(level)
        logger.handlers[:], logger.propagate = handlers, propagate


def logged(capsys: pytest.CaptureFixture[str], logger: str, level: int) -> list[dict[str, Any]]:
    logging.getLogger(logger).log(level, "a message")
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


@pytest.mark.parametrize("logger", ["faiss.loader", "uvicorn.error", "some_library", "some_library.part"])
def test_library_startup_messages_are_logged_only_at_debug_level(
    capsys: pytest.CaptureFixture[str], logger: str
) -> None:
    configure_logs("a_design")
    assert logged(capsys, logger, logging.INFO) == []
    assert logged(capsys, logger, logging.WARNING)[0]["level"] == "warning"
    configure_logs("a_design", level=logging.DEBUG)
    assert logged(capsys, logger, logging.INFO)[0]["logger"] == logger


@pytest.mark.parametrize("logger", ["infra.serving.slot", "lab.services.serving", "__main__", "a_design.worker"])
def test_own_packages_log_from_info_level(capsys: pytest.CaptureFixture[str], logger: str) -> None:
    configure_logs("a_design")
    (entry,) = logged(capsys, logger, logging.INFO)
    assert (entry["level"], entry["logger"], entry["message"]) == ("info", logger, "a message")
    assert logged(capsys, logger, logging.DEBUG) == []


def test_traceback_is_part_of_the_log_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs()
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("infra").exception("it failed")
    (entry,) = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert "ValueError: broken" in entry["traceback"]
