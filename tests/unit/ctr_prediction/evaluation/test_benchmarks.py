"""The benchmark's raw request names a host that the service accepts."""

from __future__ import annotations

import json

from ctr_prediction.evaluation.benchmarks import raw_request
from infra.serving.middleware.hosts import LOCAL


def test_raw_request_has_an_allowed_host_and_the_length_of_its_body() -> None:
    head, _, body = raw_request({"user_id": 7, "slots": 3}).partition(b"\r\n\r\n")
    fields = dict(line.split(": ") for line in head.decode().split("\r\n")[1:])
    assert fields["host"] in LOCAL
    assert int(fields["content-length"]) == len(body)
    assert json.loads(body) == {"user_id": 7, "slots": 3}
