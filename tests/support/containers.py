"""Temporary containers for tests of the composed setting. Tests are skipped without a Docker engine."""

from __future__ import annotations

import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

import pytest

REDIS, POSTGRES = "redis:7.0-bookworm", "postgres:15-bookworm"
START_S = 120.0


def docker(*words: str, check: bool = True, timeout_s: float = 300) -> str:
    """Run `docker words…` and return its output. With `check`, raises `RuntimeError` with the error if it fails."""
    done = subprocess.run(["docker", *words], capture_output=True, text=True, timeout=timeout_s, check=False)
    if check and done.returncode != 0:
        raise RuntimeError(f"docker {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout.strip()


@cache
def why_no_engine() -> str:
    """Reason why no Docker engine is usable; empty if one answers."""
    if shutil.which("docker") is None:
        return "docker is not installed"
    done = subprocess.run(["docker", "info"], capture_output=True, text=True, timeout=30, check=False)
    return "" if done.returncode == 0 else "no Docker engine answers"


@cache
def why_no_image(image: str) -> str:
    """Reason why the image is not usable; empty if the image is present or can be pulled."""
    if docker("image", "ls", "--quiet", image):
        return ""
    done = subprocess.run(
        ["docker", "pull", "--quiet", image], capture_output=True, text=True, timeout=300, check=False
    )
    return "" if done.returncode == 0 else f"{image} is not here and cannot be pulled"


def need_image(image: str) -> None:
    """Skip the test if containers of `image` cannot run."""
    if reason := why_no_engine() or why_no_image(image):
        pytest.skip(reason)


@contextmanager
def container(
    image: str, *words: str, port: int, command: tuple[str, ...] = (), publish: str = "", keep: bool = False
) -> Iterator[tuple[str, str]]:
    """Run a container for the length of the block and yield (name, published host:port of the container's `port`).

    With `keep`, the container survives a stop and can be started again within the block. `publish` sets the published
    address for tests that need to know it in advance.
    """
    name = f"lab-test-{secrets.token_hex(4)}"
    options = ["--detach", "--name", name, "--publish", publish or f"127.0.0.1::{port}", *([] if keep else ["--rm"])]
    docker("run", *options, *words, image, *command)
    try:
        yield name, docker("port", name, str(port)).splitlines()[0]
    finally:
        docker("rm", "--force", "--volumes", name, check=False)


def wait_for(condition: Callable[[], bool], what: str, seconds: float = START_S) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"waited in vain for {what}"
        time.sleep(0.2)


def is_open(address: str) -> bool:
    host, _, port = address.partition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=1):
            return True
    except OSError:
        return False


def redis_answers(address: str) -> bool:
    """True if Redis itself responds to PING; an error response counts too. An open port is not enough, because Docker's
    port forwarder listens before Redis does."""
    host, _, port = address.partition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(1) in (b"+", b"-")
    except OSError:
        return False
