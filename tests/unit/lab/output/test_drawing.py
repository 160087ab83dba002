"""A design that draws its responses: the page that `lab ask` writes, and the front page of its service."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from feed_ranking.design import DESIGN
from infra.serving.page import render_page
from lab.output.asking import write_picture
from lab.services import client

SVG = '<svg xmlns="http://www.w3.org/2000/svg"><text>8 min</text></svg>'


def test_page_of_a_drawing_contains_it_and_loads_nothing(tmp_path: Path) -> None:
    page = tmp_path / "ask" / "design.html"
    write_picture(page, replace(DESIGN, title="<Ride> & ETA"), SVG)
    text = page.read_text()
    assert SVG in text
    assert "<title>&lt;Ride&gt; &amp; ETA</title>" in text
    assert "src=" not in text
    assert "href=" not in text


def test_front_page_asks_for_a_drawing_only_if_the_design_has_one() -> None:
    assert '"picture":""' in render_page(DESIGN, "smoke")
    drawn = replace(DESIGN, ask=replace(DESIGN.ask, picture="/v1/map"))
    assert '"picture":"/v1/map"' in render_page(drawn, "smoke")


@pytest.mark.parametrize(
    ("kind", "text", "expected"), [("image/svg+xml", SVG, SVG), ("application/json", '{"a": 1}', {"a": 1})]
)
def test_client_returns_the_text_of_a_drawing_and_decodes_json(
    monkeypatch: pytest.MonkeyPatch, kind: str, text: str, expected: object
) -> None:
    response = httpx.Response(200, text=text, headers={"content-type": kind})
    monkeypatch.setattr(httpx, "request", lambda *_, **__: response)
    assert client.call("POST", "http://127.0.0.1/v1/map", json={}) == expected
