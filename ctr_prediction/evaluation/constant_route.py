"""A route that parses the same body as an auction and returns a constant: the reference for benchmarks."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.responses import Response

from ctr_prediction.design import DESIGN
from ctr_prediction.online.app import RankRequest

ANSWER = b'{"slate": [], "degraded": []}'


def create_app() -> FastAPI:
    app = FastAPI()

    @app.post(DESIGN.ask.path)
    async def rank(body: RankRequest) -> Response:
        return Response(ANSWER, media_type="application/json")

    @app.get("/readyz")
    async def ready() -> Response:
        return Response(b"{}", media_type="application/json")

    return app
