"""Does the registry answer? Asked over plain HTTP, so that serving needs no client of it.

A service never waits for the registry: it serves a copy of the model that was verified against the registered hash.
"""

from __future__ import annotations

import urllib.error
import urllib.request

from infra.settings import Settings

TIMEOUT_S = 1.0
ANSWERS = "answers"
LOCAL = "embedded"
DOWN = "does not answer; serving the verified local copy"


def registry_state(settings: Settings) -> str:
    """One of the words above. Takes `TIMEOUT_S` at most."""
    if settings.registry_uri is None:
        return LOCAL
    try:
        with urllib.request.urlopen(f"{settings.registry_uri.rstrip('/')}/health", timeout=TIMEOUT_S) as response:
            return ANSWERS if response.status == 200 else DOWN
    except (OSError, ValueError):
        return DOWN
