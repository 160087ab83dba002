"""Exceptions that a package may raise to its callers.

An adapter converts exceptions of third-party libraries (Feast, MLflow, SQLite …) to these classes. Each class has the
exit code of the command line, so that scripts can distinguish kinds of failure. Only a `DependencyError` may degrade a
response. Any other exception is a bug or an invalid request and is reported.
"""

from __future__ import annotations


class LabError(Exception):
    """Base class of the lab's exceptions. `hint` is the suggested fix."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(LabError):
    """An invalid command, request or argument."""

    exit_code = 2


class BudgetBroken(LabError):
    """A figure violates a budget, a hypothesis or a gate."""

    exit_code = 3


class Inconclusive(LabError):
    """A run without a verdict: the machine was busy with other work, or there were too few requests."""

    exit_code = 5


class InputsMissing(LabError):
    """A step of a build runs alone, and a step before it has no output yet."""

    exit_code = 6


class Busy(LabError):
    """Another process holds a lock. The same command succeeds later."""

    exit_code = 7


class DataRejected(LabError):
    """A data-quality check of the log failed. The build stops before it learns from the log."""

    exit_code = 8


class CorruptArtifact(LabError):
    """An artifact's bytes or shape differ from the registered ones. A corrupt artifact is never loaded."""


class DependencyError(LabError):
    """A dependency failed. `reason` is a stable identifier for metrics and responses."""

    exit_code = 4
    reason = "dependency_unavailable"


class FeatureStoreUnavailable(DependencyError):
    reason = "feature_store_unavailable"


class FeatureStoreSlow(FeatureStoreUnavailable):
    """The feature store did not return a row within its timeout."""

    reason = "feature_store_slow"


class FeaturesStale(DependencyError):
    """The feature row is older than its time to live."""

    reason = "features_stale"


class RegistryUnavailable(DependencyError):
    reason = "registry_unavailable"


class StreamUnavailable(DependencyError):
    """The event stream does not answer or is full. The events are not acknowledged."""

    reason = "stream_unavailable"


class DeadlineExceeded(DependencyError):
    reason = "deadline_exceeded"


class BulkheadFull(DependencyError):
    """All workers and queue slots of this dependency are in use. The call was not made."""

    reason = "bulkhead_full"


class BreakerOpen(DependencyError):
    """The circuit breaker rejects calls after repeated failures, until a probe succeeds."""

    reason = "breaker_open"


class IndexUnavailable(DependencyError):
    """The vector index is missing or cannot be searched."""

    reason = "index_unavailable"


class TrafficUnavailable(DependencyError):
    """There is no snapshot of live traffic."""

    reason = "traffic_unavailable"


class TrafficStale(TrafficUnavailable):
    """The newest snapshot of live traffic is older than its time to live."""

    reason = "traffic_stale"


class RoutingUnavailable(DependencyError):
    """The routing engine failed or could not take new edge times."""

    reason = "routing_unavailable"


class ModelUnavailable(DependencyError):
    """A network is missing or failed to load. `reason` names the network."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.reason = f"{name}_unavailable"
