"""The health check of a container: exit code 0 if a URL answers with 200. Few imports keep it fast."""

from __future__ import annotations

import sys
import urllib.request

TIMEOUT_S = 4.0


def is_healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response:
            return bool(response.status == 200)
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(0 if is_healthy(sys.argv[1]) else 1)
