"""The `Design` value of the ads. This module imports no training code and no serving code."""

from __future__ import annotations

from ctr_prediction.config import BUDGETS
from infra.design import Argument, Ask, Design, RealFiles, Step
from infra.evaluation.figures import Bound

DESIGN = Design(
    name="ctr_prediction",
    title="CTR prediction",
    summary="Choose and price ads: target some hundreds, predict clicks wide and deep, run an auction.",
    port=8020,
    container="ads",
    budgets=BUDGETS,
    config="ctr_prediction.config:PRESETS",
    steps=(
        Step("world", "ctr_prediction.offline.generate:write_history", "Generate the world and its log", ("world",)),
        Step(
            "live",
            "ctr_prediction.events.history:cut_log",
            "Cut the live log",
            ("world",),
            cut="ctr_prediction.events.cuts:cut_of",
        ),
        Step(
            "features",
            "ctr_prediction.offline.feature_tables:compute_tables",
            "Compute the feature tables",
            ("world", "features"),
            after=("world", "live"),
        ),
        Step(
            "materialize",
            "ctr_prediction.offline.samples:materialize",
            "Fill the online store (Feast)",
            ("world", "features"),
            after=("live", "features"),
            still_there="infra.feature_store.presence:has_rows",
        ),
        Step(
            "sample",
            "ctr_prediction.offline.samples:write_samples",
            "Join impressions with features, point in time (Feast)",
            ("world", "features", "sample"),
            after=("world", "live", "features", "materialize"),
        ),
        Step(
            "train",
            "ctr_prediction.offline.train:fit_and_register",
            "Train, distil, calibrate and register (JAX, ONNX, MLflow)",
            ("world", "sample", "model", "calibration"),
            after=("sample",),
            still_there="infra.registry.presence:has_model",
        ),
        Step(
            "baselines",
            "ctr_prediction.offline.baselines:write_baselines",
            "Train the baseline models (scikit-learn, LightGBM)",
            ("world", "sample", "model"),
            after=("sample",),
        ),
        Step(
            "evaluate",
            "ctr_prediction.evaluation.gate:gate",
            "Evaluate against the oracle, gate",
            ("world", "sample"),
            after=("sample", "train", "baselines"),
        ),
        Step(
            "index",
            "ctr_prediction.offline.build_items:build",
            "Snapshot the ads and their campaigns",
            ("world", "features"),
            after=("world", "live", "train", "evaluate"),
        ),
        Step(
            "release",
            "ctr_prediction.offline.release:publish",
            "Fetch the champion, verify it, write the release",
            ("world", "features"),
            after=("live", "materialize", "train", "evaluate", "index"),
        ),
    ),
    app="ctr_prediction.online.app:create_app",
    bench=(
        Bound(
            "p99_ms", "p99 of an auction, open-loop arrivals at half of capacity, 300 bidders", "ms", "<= 10", "<= 4"
        ),
        Bound("capacity_per_s", "auctions per second of one process, 4 clients in a closed loop", "/s"),
        Bound(
            "warm_over_constant",
            "throughput with Zipf(1.1) users after warm-up / throughput of a constant route with the same body",
            "×",
        ),
        Bound(
            "cold_over_constant",
            "throughput with a new user per request (one Feast read each) / throughput of the constant route",
            "×",
        ),
        Bound("student_over_teacher", "time of the student's kernel / the teacher's, 300 ads", "×", "<= 0.4", "<= 0.2"),
        Bound("read_over_feast", "time of a user's row by Feast's provider / by `get_online_features`", "×"),
        Bound(
            "parts_over_whole",
            "time of the student with a split first layer / with whole rows in ONNX Runtime",
            "×",
        ),
        Bound("int8_over_float", "time of the student in int8 / in float32, 300 ads", "×"),
        Bound(
            "train_over_gemm",
            "training rows per second / rows per second of a jitted step of its matrix products alone",
            "×",
            ">= 0.25",
            ">= 0.4",
        ),
        Bound("offline_s", "whole build, caches empty", "s", "<= 90", "<= 60"),
        Bound("offline_mb", "peak memory of that build, all processes", "MB", "<= 2048", "<= 1500"),
        Bound("serve_pss_mb", "memory (PSS) of the service", "MB", "<= 350", "<= 280"),
    ),
    benchmarks="ctr_prediction.evaluation.benchmarks:CtrBenchmarks",
    evaluate="evaluate",
    player="ctr_prediction.evaluation.player:CtrPlayer",
    judge="ctr_prediction.evaluation.judge:Judge",
    quality="ctr_prediction.evaluation.sweeps:measure_quality",
    holdout="ctr_prediction.evaluation.knowable:knowable_figures",
    headline=("p99_ms", "capacity_per_s", "knowable_gap_closed"),
    sweeps="ctr_prediction.evaluation.sweeps:SWEEPS",
    drills="ctr_prediction.evaluation.drills:DRILLS",
    faults="ctr_prediction.online.bootstrap:FAULTS",
    people="ctr_prediction.world.visitors:Visitors",
    worker="ctr_prediction.worker.consumers:make_consumers",
    topics="ctr_prediction.events.schemas:topics",
    replay="ctr_prediction.evaluation.replay:replay",
    skew="ctr_prediction.evaluation.skew:skew",
    real_files=RealFiles(
        source="infra.build.click_log:ClickLog",
        build="ctr_prediction.offline.click_logs.build:build",
    ),
    loadtest="loadtests/ctr_prediction.py",
    load_users=15,
    ask=Ask(
        path="/v1/ads/rank",
        arguments=(
            Argument("user", "user_id", "int", 7, "user id; an unknown user gets the default features"),
            Argument("slots", "slots", "int", 4, "slots of the page, 1 to 4"),
            Argument("publisher", "context.publisher_id", "int", 0, "publisher of the page"),
            Argument("device", "context.device", "str", "phone", "phone, tablet or desktop"),
            Argument("exclude", "exclude", "ints", [], "ids of ads that must not be shown"),
        ),
        rows="slate",
        columns=("slot", "ad_id", "campaign_id", "creative_id", "p_click", "bid", "ecpm", "price", "seen"),
    ),
)
