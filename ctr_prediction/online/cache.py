"""Cache of user rows: one read of the feature store costs more than the rest of an auction.

The cache is bounded in size (least recently used first) and in time. It keeps expired rows as a fallback for an
unavailable store: an old row is usually better than the defaults, and the response is marked as degraded.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import orjson
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from ctr_prediction.domain import Floats, UserFeatures
from ctr_prediction.events.codec import user_as_lists
from ctr_prediction.items.catalog import Market
from ctr_prediction.model.inputs import person_numbers
from ctr_prediction.model.split_layer import OfUser

AGES_S = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0)


@dataclass(frozen=True)
class CachedUser:
    """A user as read at `read_s` (monotonic clock). `feature_ts` is the as-of time of the row, 0 without a row.

    Precomputed: `person` float32[PERSON_NUMBERS], the user's numbers for the model; `logged`, the features as JSON for
    the log; `most_today`, the highest number of impressions of one ad today; `of_user`, the user part of the student's
    first layer.
    """

    user: UserFeatures
    is_cold: bool
    feature_ts: float
    read_s: float
    person: Floats
    logged: bytes
    most_today: int
    of_user: OfUser | None = None


def known_of(
    user_id: int, user: UserFeatures, market: Market, *, is_cold: bool, feature_ts: float, read_s: float
) -> CachedUser:
    """Create the cache entry of a user, with its precomputed values."""
    priors, student = market.priors, market.view.student
    logged = orjson.dumps(user_as_lists(user))
    person = person_numbers(user, priors)[0]
    of_user = None if student is None else student.of_user(user_id, user, person)
    most_today = int(user.seen_today[0].max(initial=0))
    return CachedUser(user, is_cold, feature_ts, read_s, person, logged, most_today, of_user)


class CacheMetrics:
    """Lookups by result (hit, miss, expired, or stale: used although expired), cache size, and age of the used rows."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.lookups = Counter(
            "lab_feature_cache_lookups", "lookups in the feature cache", ("result",), registry=registry
        )
        self.users = Gauge("lab_feature_cache_users", "users in the feature cache", registry=registry)
        self.age = Histogram("lab_feature_cache_age_seconds", "age of the used rows", registry=registry, buckets=AGES_S)
        for result in ("hit", "miss", "expired", "stale"):
            self.lookups.labels(result)
        self.hit = self.lookups.labels("hit")


class FeatureCache:
    """A cache of users, shared by the threads of a service. Each release has its own cache."""

    def __init__(
        self, ttl_s: float, size: int, metrics: CacheMetrics, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ttl_s, self._size, self._metrics, self.clock = ttl_s, size, metrics, clock
        self._users: OrderedDict[int, CachedUser] = OrderedDict()
        self._lock = threading.Lock()

    def fresh(self, user_id: int) -> CachedUser | None:
        """Return the user's entry if it is within the time to live; else None."""
        with self._lock:
            known = self._users.get(user_id)
            if known is not None:
                self._users.move_to_end(user_id)
        if known is None:
            self._metrics.lookups.labels("miss").inc()
            return None
        age_s = self.clock() - known.read_s
        if age_s > self._ttl_s:
            self._metrics.lookups.labels("expired").inc()
            return None
        self._metrics.hit.inc()
        self._metrics.age.observe(age_s)
        return known

    def has(self, user_id: int) -> bool:
        """True if `fresh` would return an entry. Does not count as a lookup."""
        known = self._users.get(user_id)
        return known is not None and self.clock() - known.read_s <= self._ttl_s

    def expired(self, user_id: int) -> CachedUser | None:
        """Return the user's entry of any age, or None. The fallback while the feature store is unavailable."""
        with self._lock:
            known = self._users.get(user_id)
        if known is not None:
            self._metrics.lookups.labels("stale").inc()
            self._metrics.age.observe(self.clock() - known.read_s)
        return known

    def put(self, user_id: int, known: CachedUser) -> None:
        with self._lock:
            self._users[user_id] = known
            self._users.move_to_end(user_id)
            if len(self._users) > self._size:
                self._users.popitem(last=False)
            self._metrics.users.set(len(self._users))
