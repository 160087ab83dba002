"""A reference for benchmarks: a route that parses the same body as an auction and answers with a constant.

`python -m ctr_prediction.evaluation.constant_route PORT` serves it on 127.0.0.1.
"""

from __future__ import annotations

import sys

import uvicorn
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


if __name__ == "__main__":
    uvicorn.run(create_app(), host="127.0.0.1", port=int(sys.argv[1]), log_config=None, access_log=False)
