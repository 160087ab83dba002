"""Calls a running service over its public HTTP API."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import httpx

from infra.design import Design
from infra.errors import DependencyError, LabError, UsageError
from infra.settings import Settings
from lab.services.ports import url_of
from lab.services.runstate import read_state


def service_url(design: Design, settings: Settings) -> str:
    """Return the URL from the run state of `lab up`; without one, the URL with the design's default port."""
    state = read_state(settings)
    for service in state.services if state else ():
        if service.name == design.name:
            return service.url
    return url_of(design, settings)


def find_replicas(design: Design, settings: Settings) -> dict[str, str]:
    """Return name and address of each replica that `lab up` runs; without it, the URL with the design's default port.

    A replica that the supervisor leaves out for a while is not listed.
    """
    state = read_state(settings)
    services = state.services if state else ()
    found = {one.name: one.direct_url for one in services if one.design == design.name and not one.out}
    return found or {design.name: url_of(design, settings)}


def call(method: str, url: str, *, json: Any = None, timeout_s: float = 10.0) -> Any:
    """Send one request and return the decoded JSON response, or the text of a drawing (SVG).

    Raises `DependencyError` if no response arrives and for a 503, `UsageError` for a 4xx, `LabError` for another 5xx.
    """
    try:
        response = request(method, url, json=json, timeout=timeout_s)
    except httpx.TransportError as exc:
        raise DependencyError(
            f"no answer from {url}: {exc}", hint="check that the service is running, or run: lab up"
        ) from exc
    if response.is_success:
        is_drawing = response.headers.get("content-type", "").startswith("image/svg")
        return response.text if is_drawing else response.json()
    detail = response.text
    if "json" in response.headers.get("content-type", ""):
        problem = response.json()
        detail = f"{problem.get('title', '')}: {problem.get('detail', '')}"
    if response.status_code == 503:
        raise DependencyError(detail)
    raise (UsageError if response.is_client_error else LabError)(detail)


def call_each(method: str, urls: Iterable[str], path: str, *, json: Any = None) -> list[Any]:
    """Call every replica, also after one has failed, and return their responses. Raise the first error at the end.

    A fault thus does not stay in one replica because another one is just starting again.
    """
    found, errors = [], []
    for url in urls:
        try:
            found.append(call(method, f"{url}{path}", json=json))
        except LabError as exc:
            errors.append(exc)
    if errors:
        raise errors[0]
    return found


def request(method: str, url: str, *, timeout: float = 5.0, **options: Any) -> httpx.Response:
    """Send one request with `httpx`.

    Only an https address makes httpx read the certificates of all authorities, because that takes about 50 ms of CPU
    time and the rest of a request to this machine takes 1 ms.
    """
    return httpx.request(method, url, timeout=timeout, verify=url.startswith("https:"), **options)
