"""ADWIN on a stream of errors (Bifet and Gavaldà, Learning from Time-Changing Data with Adaptive Windowing, SDM 2007).

ADWIN keeps a window of recent values and drops its older part when the means of the two parts differ beyond chance.
The only module that imports `river`.
"""

from __future__ import annotations

from collections.abc import Sequence

DELTA = 0.002
"""bound on the probability of a false detection"""
CLOCK = 8
"""values between two checks"""


def rise(errors: Sequence[float], newest: int) -> tuple[float, float] | None:
    """(mean before, mean after) if ADWIN finds that the errors rose while it reads the `newest` last values.

    Reads all values again, so that no state of the detector needs to be stored.
    """
    from river.drift import ADWIN  # takes a second and 70 MB; most callers of this package do not need it

    detector, found = ADWIN(delta=DELTA, clock=CLOCK), None
    for place, error in enumerate(errors):
        detector.update(float(error))
        if detector.drift_detected and place >= len(errors) - newest:
            kept = int(detector.width)
            dropped = errors[: place + 1 - kept]
            after = float(detector.estimation)
            if dropped and after > sum(dropped) / len(dropped):
                found = (sum(dropped) / len(dropped), after)
    return found
