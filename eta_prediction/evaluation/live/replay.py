"""`lab replay eta_prediction`: predicts every logged quote again and compares the results bit for bit.

The replay uses the logged model version and the logged inputs. The model must return the logged quantiles, and the seed
must give the logged quote, policy and propensity. A clean replay shows that the log contains everything that determines
a quote.
"""

from __future__ import annotations

import numpy as np

from eta_prediction.config import EtaConfig
from eta_prediction.design import DESIGN
from eta_prediction.domain import Array
from eta_prediction.events.codec import inputs_of
from eta_prediction.events.cuts import live_root
from eta_prediction.events.paths import QUOTES
from eta_prediction.events.schemas import Quote
from eta_prediction.model.artifact import CORRECTED, Bundle, load_bundle
from eta_prediction.model.inputs import NAMES
from eta_prediction.model.quote import decide
from infra.design import with_known_knobs
from infra.prediction_log.reader import PredictionLog
from infra.prediction_log.replay import differing_fields, replay_log
from infra.prediction_log.results import Replayed, Since
from infra.prediction_log.versions import Bundles
from infra.progress import Progress
from infra.registry.release import read_release
from infra.settings import Settings


def replay(settings: Settings, since: Since, limit: int, report: Progress) -> Replayed:
    """Replay quotes (`infra.prediction_log.results`). Raises `UsageError` if the log is empty."""
    root, base = settings.design_root(DESIGN.name), DESIGN.configuration(settings.preset)
    log = PredictionLog(live_root(settings) / QUOTES, Quote, since, limit)

    def moved(quote: Quote, bundle: Bundle) -> dict[str, str]:
        return differences_of(quote, bundle, with_known_knobs(base, quote.knobs))

    return replay_log(log, Bundles(settings, read_release(root), load_bundle), skip_reason, moved, report)


def skip_reason(quote: Quote) -> str:
    """Why a quote cannot be predicted again, or the empty string."""
    return "" if inputs_of(quote.x).shape[1] == len(NAMES) else "the quote has no route with inputs"


def differences_of(quote: Quote, bundle: Bundle, config: EtaConfig) -> dict[str, str]:
    """Field -> description of the difference, for every field that differs."""
    again = quantiles_again(quote, bundle, config)
    quoted_s, policy, propensity = decide(again, config.quote, quote.seed)
    found = differing_fields(
        {
            "quantiles": np.asarray(quote.quantiles, np.float64),
            "quoted_s": np.array([quote.quoted_s]),
            "propensity": np.array([quote.propensity]),
        },
        {"quantiles": again, "quoted_s": np.array([quoted_s]), "propensity": np.array([propensity])},
    )
    return found if policy == quote.policy else {**found, "policy": f"{quote.policy} was logged, not {policy}"}


def quantiles_again(quote: Quote, bundle: Bundle, config: EtaConfig) -> Array:
    """float64[3]: P10, P50 and P90 in seconds, by the model that answered."""
    x = inputs_of(quote.x)
    if quote.model == CORRECTED:
        return bundle.historical(quote.traffic, x)[0]
    return bundle.quantiles(quote.model, x, config.predict.calibration)[0]
