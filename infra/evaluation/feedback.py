"""One week of a simulated feedback loop, as `lab feedback` prints it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from infra.progress import Progress
from infra.settings import Settings


@dataclass(frozen=True)
class Week:
    """A week of one `loop`.

    `captured_value` is that of the model trained on this week: the true gain over random slates, as a share of the
    oracle's gain. The other figures are those of the model that served this week: predicted / observed clicks on the
    slates that it chose and on the randomised bucket, and the AUC on the bucket.
    """

    loop: str
    week: int
    captured_value: float
    calibration_shown: float
    calibration_bucket: float
    auc_bucket: float


Simulate = Callable[[Settings, int, Progress], list[Week]]
"""`Design.feedback`: (settings, weeks, report) -> the weeks of every loop"""
