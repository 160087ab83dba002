"""The errors that cross a room's wall.

A foreign exception (Feast, MLflow, SQLite …) stops at its adapter and leaves it as one of these. Each class
carries the exit code that the command line uses, so that a script can tell what kind of failure it met.
Only a `DependencyError` may degrade a response; everything else is a bug or a refusal and must be seen.
"""

from __future__ import annotations


class LabError(Exception):
    """A failure that the lab can explain. `hint` says what the reader can do about it."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(LabError):
    """The caller asked for something that does not exist or makes no sense."""

    exit_code = 2


class BudgetBroken(LabError):
    """A budget, a hypothesis or a gate did not hold."""

    exit_code = 3


class Inconclusive(LabError):
    """A run that proves nothing: the machine was busy with other things, or there were too few requests."""

    exit_code = 5


class CorruptArtifact(LabError):
    """An artifact's bytes or its shape are not those that were registered. It is never loaded."""


class DependencyError(LabError):
    """Something outside this process failed to answer. `reason` is a stable word for metrics and responses."""

    exit_code = 4
    reason = "dependency_unavailable"


class FeatureStoreUnavailable(DependencyError):
    reason = "feature_store_unavailable"


class FeatureStoreSlow(FeatureStoreUnavailable):
    """No row within the store's own timeout."""

    reason = "feature_store_slow"


class FeaturesStale(DependencyError):
    """The row was read, but it is older than the time its features may be trusted."""

    reason = "features_stale"


class RegistryUnavailable(DependencyError):
    reason = "registry_unavailable"


class StreamUnavailable(DependencyError):
    """The event stream does not answer, or has no room: what was to be published is not acknowledged."""

    reason = "stream_unavailable"


class DeadlineExceeded(DependencyError):
    reason = "deadline_exceeded"


class BulkheadFull(DependencyError):
    """Every worker and every waiting place for this dependency is taken: the call was not even tried."""

    reason = "bulkhead_full"


class BreakerOpen(DependencyError):
    """The dependency failed often enough that calls are refused until a probe succeeds."""

    reason = "breaker_open"


class IndexUnavailable(DependencyError):
    """There is no vector index to search."""

    reason = "index_unavailable"


class ModelUnavailable(DependencyError):
    """A network is missing or was refused. `reason` names it."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.reason = f"{name}_unavailable"
