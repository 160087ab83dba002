"""Structured logs: one JSON object per line on standard error, with time, level, logger, message and traceback."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime

import orjson

OWN = ("infra", "lab", "__main__")


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return orjson.dumps(entry).decode()


def configure_logs(*packages: str, level: int = logging.INFO) -> None:
    """Send every logger of this process to standard error as JSON lines.

    `packages` and `OWN` log at `level`. Libraries log at WARNING unless `level` is DEBUG, so that the log omits their
    start-up messages, such as FAISS's detection of vector instructions.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level if level <= logging.DEBUG else max(level, logging.WARNING))
    for name in (*OWN, *packages):
        logging.getLogger(name).setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.setLevel(logging.NOTSET)
        logger.propagate = True
    logging.getLogger("uvicorn.access").setLevel(logging.WARNING)
