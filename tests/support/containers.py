"""Throw-away containers for tests of the composed setting, where a Docker engine is there."""

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
    """What `docker words…` printed. Raises `RuntimeError` with its message where it failed."""
    done = subprocess.run(["docker", *words], capture_output=True, text=True, timeout=timeout_s, check=False)
    if check and done.returncode != 0:
        raise RuntimeError(f"docker {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout.strip()


@cache
def why_no_engine() -> str:
    """Empty where an engine answers."""
    if shutil.which("docker") is None:
        return "docker is not installed"
    done = subprocess.run(["docker", "info"], capture_output=True, text=True, timeout=30, check=False)
    return "" if done.returncode == 0 else "no Docker engine answers"


@cache
def why_no_image(image: str) -> str:
    """Empty where the image is here or can be had."""
    if docker("image", "ls", "--quiet", image):
        return ""
    done = subprocess.run(
        ["docker", "pull", "--quiet", image], capture_output=True, text=True, timeout=300, check=False
    )
    return "" if done.returncode == 0 else f"{image} is not here and cannot be pulled"


def need_image(image: str) -> None:
    """Skip the test where containers of `image` cannot run."""
    if reason := why_no_engine() or why_no_image(image):
        pytest.skip(reason)


@contextmanager
def container(
    image: str, *words: str, port: int, command: tuple[str, ...] = (), publish: str = "", keep: bool = False
) -> Iterator[tuple[str, str]]:
    """(name, host:port where the container's `port` answers); the container is gone at the end. With `keep` it can be
    stopped and started again until then; `publish` says where it answers, where that must be known before."""
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
    """Whether Redis itself does: the engine's forwarder listens before it. An error is an answer too."""
    host, _, port = address.partition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(1) in (b"+", b"-")
    except OSError:
        return False
