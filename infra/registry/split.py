"""Which users get the challenger: a stable hash of the user, so that a user stays with one model during a rollout."""

from __future__ import annotations

MASK = 2**64 - 1


def position(unit: int, digest: str) -> float:
    """A number in [0, 1) for a user, by SplitMix64 of the user's id and the challenger's digest.

    A larger share keeps the users of a smaller one, and the next challenger gets other users first.
    """
    x = (unit ^ int(digest[:16] or "0", 16)) & MASK
    x = (x + 0x9E3779B97F4A7C15) & MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return (x ^ (x >> 31)) / 2**64


def is_canary(unit: int, digest: str, share: float) -> bool:
    """True if the user belongs to the canary's share of users."""
    return share > 0 and position(unit, digest) < share
