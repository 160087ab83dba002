"""Checks whether the registry answers, over plain HTTP, so that serving does not import MLflow.

A service never waits for the registry: it serves a local copy of the model, verified against the registered hash.
"""

from __future__ import annotations

import threading
import urllib.error
import urllib.request

from infra.settings import Settings

TIMEOUT_S = 1.0
ANSWERS = "answers"
LOCAL = "embedded"
DOWN = "does not answer; serving the verified local copy"
NOT_ASKED = "not checked yet"
EVERY_S = 5.0


class RegistryWatch:
    """Polls the registry in the background, so that a readiness check never waits for the registry."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._stop = settings, threading.Event()
        self.state = LOCAL if settings.registry_uri is None else NOT_ASKED

    def start(self) -> None:
        if self._settings.registry_uri is not None:
            threading.Thread(target=self._watch, name="registry-watch", daemon=True).start()

    def close(self) -> None:
        self._stop.set()

    def _watch(self) -> None:
        while True:
            self.state = registry_state(self._settings)
            if self._stop.wait(EVERY_S):
                return


def registry_state(settings: Settings) -> str:
    """Return `ANSWERS`, `LOCAL` or `DOWN`, after at most `TIMEOUT_S` seconds."""
    if settings.registry_uri is None:
        return LOCAL
    try:
        with urllib.request.urlopen(f"{settings.registry_uri.rstrip('/')}/health", timeout=TIMEOUT_S) as response:
            return ANSWERS if response.status == 200 else DOWN
    except (OSError, ValueError):
        return DOWN
