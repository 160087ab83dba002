"""`lab skew eta_prediction`: compares served inputs with the inputs that training would compute.

Training computes the speeds, incidents and drivers of a trip from the log, as of its departure. Serving uses a state of
the roads that a worker writes, and a driver's row that it pushes. For a sample of the logged quotes, this module
computes the inputs again from the log, as of the times that the quotes name, and compares them with the served ones.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from eta_prediction.design import DESIGN
from eta_prediction.evaluation.live.recompute import Recount
from eta_prediction.evaluation.live.replay import skip_reason
from eta_prediction.events.codec import inputs_of
from eta_prediction.events.cuts import live_root
from eta_prediction.events.paths import QUOTES
from eta_prediction.events.schemas import Quote
from eta_prediction.model.inputs import NAMES
from infra.prediction_log.parity import Skew, compare
from infra.prediction_log.reader import PredictionLog
from infra.prediction_log.results import Compared, Since
from infra.progress import Progress
from infra.registry.release import read_release
from infra.settings import Settings

CHOICE = 7
"""seed of the sample of quotes, so two runs compare the same quotes"""
TOLERANCE = 1e-4
"""The worker adds traversals every few seconds, and this check all at once: the sums differ by rounding"""


def skew(settings: Settings, since: Since, limit: int, report: Progress) -> Compared:
    """Compare inputs (`infra.prediction_log.results`). Raises `UsageError` if the log is empty."""
    log = PredictionLog(live_root(settings) / QUOTES, Quote, since, limit, seed=CHOICE)
    digest, left_out = read_release(settings.design_root(DESIGN.name)).model_digest, Counter[str]()
    usable: list[Quote] = []
    for quote in log:
        reason = skip_reason(quote)
        if not reason and quote.model_digest != digest:
            reason = "another release answered, with another profile of the city"
        if reason:
            left_out[reason] += 1
        else:
            usable.append(quote)
    usable.sort(key=lambda quote: quote.speeds_ts)
    found: list[Skew] = []
    if usable:
        report(0.1, f"reading the log for {len(usable)} quotes")
        known = Recount.read(settings, DESIGN.configuration(settings.preset), usable[0].speeds_ts)
        report(0.5, f"inputs of {len(usable)} quotes")
        served, again = np.concatenate([inputs_of(quote.x) for quote in usable]), known.inputs(usable)
        sides = (dict(zip(NAMES, x.T, strict=True)) for x in (served, again))
        found = sorted(compare(*sides, tolerance=TOLERANCE), key=lambda one: -one.share)
    report(1.0, f"{len(usable)} quotes")
    return Compared(len(log), len(usable), len(NAMES), found, dict(left_out))
