"""Alerts that all designs share: their processes, feature store, features, models, builds and event stream."""

from __future__ import annotations

from infra.telemetry.alerts.expressions import Increase, Latest, Time
from infra.telemetry.alerts.rule import (
    AFTERMATH_S,
    DAY_S,
    FEWEST_ANSWERS,
    MINUTE_S,
    PAGE,
    TICKET,
    AlertRule,
    increase,
    latest,
)
from infra.telemetry.alerts.samples import Selection

MODEL_OLD_S, BUILD_OVERDUE_S = 14 * DAY_S, 7 * DAY_S
"""A weekly build is the slowest useful schedule. A served model may miss one build, since the gate may refuse it."""
CALIBRATION_MOVED, LABELS_MISSING = 0.5, 0.3
"""Effects that one window of the log does not show by chance; smaller ones need two windows (`DriftConfig`)."""
LONGEST_LAG = 1000
"""Messages that may wait for a consumer, summed over partitions."""

SERVICE_ALERTS = (
    AlertRule(
        "TargetDown",
        Latest(Selection("up"), None).equals(0),
        PAGE,
        "{{ $labels.job }} at {{ $labels.instance }} does not answer",
        "lab status, or docker compose ps; then the log of that process.",
        30.0,
    ),
    AlertRule(
        "NoReplicaReady",
        latest("haproxy_backend_active_servers", "design")
        .equals(0)
        .when(increase("haproxy_frontend_http_requests_total", 5 * MINUTE_S).above(0)),
        PAGE,
        "{{ $labels.design }}: requests arrive, and no replica is ready",
        "docker compose ps, then GET /readyz of the design: it says why. The balancer knows replicas by Docker's DNS.",
        10.0,
    ),
    AlertRule(
        "FeatureStoreDown",
        latest("lab_feature_store_up").equals(0),
        PAGE,
        "no service can read the feature store",
        "docker compose ps redis, or the faults of each service: lab fault DESIGN. Services answer with fallbacks.",
        10.0,
        {"dependency": "feature_store"},
        AFTERMATH_S,
    ),
    AlertRule(
        "BreakerOpen",
        latest("lab_breaker_state", "design", "dependency").above(0),
        TICKET,
        "{{ $labels.design }}: the breaker of {{ $labels.dependency }} is not closed",
        "The dependency failed repeatedly. GET /readyz shows the breaker; designs/failure_modes.md shows the fallback.",
        30.0,
    ),
    AlertRule(
        "FeaturesStale",
        (
            increase("lab_degraded_total", 5 * MINUTE_S, reason="features_stale")
            / increase("lab_responses_total", 5 * MINUTE_S).at_least(FEWEST_ANSWERS)
        ).above(0.01),
        TICKET,
        "{{ $labels.design }}: {{ $value | humanizePercentage }} of answers use features past their time to live",
        "GET /healthz of the worker returns the last error of each consumer; a build writes new features.",
        60.0,
    ),
    AlertRule(
        "ModelTooOld",
        (Time() - latest("lab_model_released_timestamp_seconds", "design"))
        .above(MODEL_OLD_S)
        .when(latest("lab_model_released_timestamp_seconds", "design").above(0)),
        TICKET,
        "{{ $labels.design }}: the served model is {{ $value | humanizeDuration }} old",
        "Run lab build DESIGN; exit code 3 means that the gate refused the new model.",
        60.0,
    ),
)
BUILD_ALERTS = (
    AlertRule(
        "BuildFailed",
        latest("lab_build_failed", "design").above(0),
        TICKET,
        "{{ $labels.design }}: the last build failed",
        "Read build.json of the design in the lab's home, or run lab build DESIGN; finished steps are not repeated.",
    ),
    AlertRule(
        "BuildOverdue",
        (Time() - latest("lab_build_last_success_timestamp_seconds", "design"))
        .above(BUILD_OVERDUE_S)
        .when(latest("lab_build_last_success_timestamp_seconds", "design").above(0)),
        TICKET,
        "{{ $labels.design }}: the last successful build was {{ $value | humanizeDuration }} ago",
        "Run lab build DESIGN, or look for a schedule that is paused.",
        60.0,
    ),
    AlertRule(
        "DataQualityFailed",
        latest("lab_data_quality_failures", "design").above(0),
        TICKET,
        "{{ $labels.design }}: {{ $value }} data-quality checks failed",
        "Run `lab quality` with the design's name: it names the rule and the rows.",
    ),
)
DRIFT_ALERTS = (
    AlertRule(
        "ModelDrifted",
        latest("lab_drift_detected", "design").above(0),
        TICKET,
        "{{ $labels.design }}: the served model has drifted",
        "Run `lab drift` with the design's name: it shows the figures that moved, and since when. Then build again.",
    ),
    AlertRule(
        "CalibrationMoved",
        latest("lab_drift_calibration_change", "design").above(CALIBRATION_MOVED),
        TICKET,
        "{{ $labels.design }}: actual / predicted is {{ $value | humanizePercentage }} away from its value after the "
        "release",
        "Run `lab drift` with the design's name: it shows the segments. lab skew finds features that serving computes "
        "otherwise than training.",
    ),
    AlertRule(
        "LabelsMissing",
        latest("lab_drift_missing_labels_share", "design").above(LABELS_MISSING),
        TICKET,
        "{{ $labels.design }}: {{ $value | humanizePercentage }} of the usual labels did not arrive in time",
        "Check that the apps send events, and the lag of the worker's consumers. A training on this log learns too "
        "few positive labels.",
    ),
    AlertRule(
        "LogDamaged",
        latest("lab_drift_damaged_files", "design").above(0),
        TICKET,
        "{{ $labels.design }}: {{ $value }} files of the live log cannot be read",
        "Run `lab drift` with the design's name: it names the newest. The drift monitor leaves these files out, and a "
        "build on the log fails: move them away.",
    ),
)
ROLLOUT_ALERTS = (
    AlertRule(
        "RolledBack",
        (Time() - latest("lab_rollout_stage_timestamp_seconds", "design"))
        .below(DAY_S)
        .when(latest("lab_rollout_rolled_back", "design").above(0)),
        TICKET,
        "{{ $labels.design }}: a new model was rolled back {{ $value | humanizeDuration }} ago",
        "Run `lab rollout` with the design's name: it says why. The model passed the gate, so look for what the gate "
        "does not measure; designs/debugging.md.",
    ),
)
STREAM_ALERTS = (
    AlertRule(
        "StreamDown",
        Latest(Selection("lab_stream_up"), ("design", "instance"), "min").equals(0),
        PAGE,
        "{{ $labels.design }}: the broker does not answer {{ $labels.instance }}",
        "docker compose ps kafka. The service still answers and refuses events: designs/failure_modes.md.",
        30.0,
    ),
    AlertRule(
        "EventsLost",
        Increase(Selection("lab_stream_lost_total"), 5 * MINUTE_S, ("design", "topic")).above(0),
        PAGE,
        "{{ $labels.topic }}: the broker deleted events before a consumer read them",
        "The broker had acknowledged these events. A consumer stopped for longer than the topic's retention.",
    ),
    AlertRule(
        "EventsDropped",
        Increase(Selection("lab_stream_dropped_total"), 5 * MINUTE_S, ("design", "topic", "reason")).above(0),
        TICKET,
        "{{ $labels.topic }}: the producer dropped events before the broker acknowledged them ({{ $labels.reason }})",
        "Read lab_stream_up and lab_stream_waiting: the broker was down for longer than the producer's buffer lasts.",
    ),
    AlertRule(
        "ConsumerLagging",
        Latest(Selection("lab_stream_lag"), ("design", "group", "topic"), "sum").above(LONGEST_LAG),
        TICKET,
        "{{ $labels.group }}: {{ $value }} messages of {{ $labels.topic }} are waiting",
        "GET /healthz of the worker returns the last error of each consumer.",
        60.0,
    ),
    AlertRule(
        "DeadLetters",
        Increase(Selection.of("lab_stream_read_total", result="dead_letter"), 5 * MINUTE_S, ("design", "topic")).above(
            0
        ),
        TICKET,
        "{{ $labels.topic }}: the worker could not handle some messages",
        "The topic of dead letters holds each message with its reason: another schema, or a bug in an effect.",
    ),
)
