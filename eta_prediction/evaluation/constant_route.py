"""A reference for benchmarks: the service's app with an endpoint that answers every valid request with the same bytes.

The server, the middleware, the framework and the validation of bodies are those of the service. The reference is a
route of the framework, as in the other designs: the service's fast path around the framework counts for the service.
`python -m eta_prediction.evaluation.constant_route PORT BYTES` serves the app on 127.0.0.1.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Annotated

import uvicorn
from fastapi import Body, FastAPI
from starlette.responses import Response
from starlette.types import ASGIApp

from eta_prediction.config import PRESETS, EtaConfig
from eta_prediction.design import DESIGN
from eta_prediction.online.api.schemas import EtaRequest
from infra.faults.switch import FaultSwitch
from infra.registry.release import Release
from infra.serving.admission import Admission
from infra.serving.app import ServiceCore, create_service
from infra.serving.slot import ReleaseSlot
from infra.settings import Settings
from infra.telemetry.metrics import ServiceMetrics

FRAME = b'{"edges": "%s"}'


def create_app(settings: Settings, size: int) -> ASGIApp:
    """Create the app. `size` is the length of the response in bytes. The app needs no release."""
    answer = FRAME % (b"x" * (size - len(FRAME % b"")))
    config: EtaConfig = PRESETS[settings.preset]
    metrics = ServiceMetrics(DESIGN)
    slot: ReleaseSlot[Release] = ReleaseSlot(
        settings.design_root(DESIGN.name), lambda release: release, swapped=lambda ok: None, may_wait=True
    )
    admission = Admission(workers=config.serve.workers, queue=config.serve.queue)
    limit = config.serve.max_body_kb * 1000
    core = ServiceCore(DESIGN, settings, slot, metrics, admission, {}, FaultSwitch(), limit)

    def add_routes(app: FastAPI) -> None:
        @app.post(DESIGN.ask.path)
        async def eta(body: Annotated[EtaRequest, Body()]) -> Response:
            return Response(answer, media_type="application/json")

    return create_service(core, add_routes, version("ml-system-design-lab"))


if __name__ == "__main__":
    app = create_app(Settings(), int(sys.argv[2]))
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_config=None, access_log=False)
