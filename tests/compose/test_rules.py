"""The alert rules pass their tests in Prometheus' own checker. `make compose-test` runs this; it needs a Docker engine.

Tests of rules over days take a gigabyte, more than the container of Prometheus in the composed lab may use, so the
checker runs in a container of its own.
"""

from __future__ import annotations

import subprocess

from infra.settings import REPOSITORY
from tests.contracts.test_compose import raw
from tests.contracts.test_monitoring import RULE_TESTS


def test_alert_rules_pass_their_tests_in_promtool() -> None:
    image, folder = raw()["services"]["prometheus"]["image"], REPOSITORY / "infra" / "deploy" / "prometheus"
    command = ["docker", "run", "--rm", "--network", "none", "--workdir", "/etc/lab", "--entrypoint", "promtool"]
    command += ["--volume", f"{folder}:/etc/lab:ro", image, "test", "rules", *RULE_TESTS]
    tested = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert tested.returncode == 0, tested.stdout + tested.stderr
