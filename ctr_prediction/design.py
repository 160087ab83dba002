"""The ads as one value. Importing it imports no training and no serving code."""

from __future__ import annotations

from ctr_prediction.config import BUDGETS
from infra.design import Argument, Ask, Design, Step
from infra.figures import Bound

_WORLD = ("ctr_prediction/world", "ctr_prediction/domain.py", "ctr_prediction/offline/steps.py")
_OFFLINE = "ctr_prediction/offline"
_LIVE = (
    "ctr_prediction/counting.py",
    "ctr_prediction/domain.py",
    "ctr_prediction/live_places.py",
    f"{_OFFLINE}/live_files.py",
    f"{_OFFLINE}/live_log.py",
)
_TABLES = (
    "ctr_prediction/features.py",
    "ctr_prediction/user_rows.py",
    *_LIVE,
    f"{_OFFLINE}/tables.py",
    "infra/feature_store",
)
_SAMPLE = (*_TABLES, f"{_OFFLINE}/dataset.py", "ctr_prediction/inputs.py")
_NETWORK = tuple(f"{_OFFLINE}/{name}.py" for name in ("sparse", "wide_deep", "fit", "shape"))
_MODEL = (
    *_NETWORK,
    *(f"{_OFFLINE}/{name}.py" for name in ("train", "distil", "calibrate")),
    "ctr_prediction/bundle.py",
    "ctr_prediction/curves.py",
    "ctr_prediction/student.py",
)

DESIGN = Design(
    name="ctr_prediction",
    title="CTR prediction",
    summary="Which ads, for how much? Target some hundreds, predict clicks wide and deep, hold an auction.",
    port=8020,
    container="ads",
    budgets=BUDGETS,
    config="ctr_prediction.config:PRESETS",
    steps=(
        Step(
            "world", "ctr_prediction.offline.steps:write_history", "Generate the world and its log", ("world",), _WORLD
        ),
        Step(
            "live",
            "ctr_prediction.offline.live_log:cut_log",
            "Cut the live log",
            ("world",),
            _LIVE,
            cut="ctr_prediction.offline.live_files:cut_of",
        ),
        Step(
            "features",
            "ctr_prediction.offline.tables:compute_tables",
            "Compute the feature tables",
            ("world", "features"),
            _TABLES,
            after=("world", "live"),
        ),
        Step(
            "materialize",
            "ctr_prediction.offline.dataset:materialize",
            "Fill the online store (Feast)",
            ("world", "features"),
            _SAMPLE,
            after=("live", "features"),
            still_there="ctr_prediction.offline.presence:has_users",
        ),
        Step(
            "sample",
            "ctr_prediction.offline.dataset:write_samples",
            "Join impressions with what was known (Feast)",
            ("world", "features", "sample"),
            _SAMPLE,
            after=("world", "live", "features", "materialize"),
        ),
        Step(
            "train",
            "ctr_prediction.offline.train:fit_and_register",
            "Train, distil, calibrate and register (JAX, ONNX, MLflow)",
            ("world", "sample", "model", "calibration"),
            (*_SAMPLE, *_MODEL, "infra/training", "infra/registry"),
            after=("sample",),
            still_there="infra.registry.presence:has_model",
        ),
        Step(
            "baselines",
            "ctr_prediction.offline.baselines:write_baselines",
            "Train what it is compared with (scikit-learn, LightGBM)",
            ("world", "sample", "model"),
            (*_SAMPLE, *_MODEL, f"{_OFFLINE}/baselines.py", "infra/training"),
            after=("sample",),
        ),
        Step(
            "evaluate",
            "ctr_prediction.offline.evaluate:gate",
            "Evaluate against the truth, gate",
            ("world", "sample"),
            (f"{_OFFLINE}/evaluate.py", f"{_OFFLINE}/holdout.py", *_MODEL, "infra/training"),
            after=("sample", "train", "baselines"),
        ),
        Step(
            "index",
            "ctr_prediction.offline.index:build",
            "Snapshot the ads and their campaigns",
            ("world", "features"),
            (f"{_OFFLINE}/index.py", "ctr_prediction/snapshot.py", "ctr_prediction/live_stats.py"),
            after=("world", "live", "train", "evaluate"),
        ),
        Step(
            "release",
            "ctr_prediction.offline.release:publish",
            "Release: fetch the champion, verify, point to it",
            ("world", "features"),
            (f"{_OFFLINE}/release.py",),
            after=("live", "materialize", "train", "evaluate", "index"),
        ),
    ),
    app="ctr_prediction.online.app:create_app",
    bench=(
        Bound(
            "p99_ms", "p99 of an auction, open-loop arrivals at half of capacity, 300 bidders", "ms", "<= 10", "<= 4"
        ),
        Bound("capacity_per_s", "auctions per second of one process, 4 clients that never wait", "/s"),
        Bound(
            "warm_over_constant",
            "throughput with users by Zipf 1.1, after warm-up / a route that parses the same body and is constant",
            "×",
            ">= 0.4",
            ">= 0.6",
        ),
        Bound(
            "cold_over_constant",
            "the same, every request another user (one Feast read each)",
            "×",
            ">= 0.13",
            ">= 0.17",
        ),
        Bound("student_over_teacher", "time of the student's kernel / the teacher's, 300 ads", "×", "<= 0.4", "<= 0.2"),
        Bound("read_over_feast", "time of a user's row by Feast's provider / by `get_online_features`", "×"),
        Bound(
            "parts_over_whole",
            "time of the student from ads to log-odds in parts / by whole rows and ONNX Runtime",
            "×",
        ),
        Bound("int8_over_float", "time of the student in int8 / in float32, 300 ads", "×"),
        Bound(
            "train_over_gemm",
            "training rows per second / a jitted step of its matrix products alone",
            "×",
            ">= 0.25",
            ">= 0.4",
        ),
        Bound("offline_s", "whole build, caches empty", "s", "<= 90", "<= 60"),
        Bound("offline_mb", "peak resident memory of that build", "MB", "<= 2048", "<= 1500"),
        Bound("serve_pss_mb", "memory (PSS) of the service", "MB", "<= 350", "<= 280"),
    ),
    benchmarks="ctr_prediction.benchmarks:CtrBenchmarks",
    evaluate="evaluate",
    player="ctr_prediction.online.play:CtrPlayer",
    judge="ctr_prediction.offline.judge:Judge",
    quality="ctr_prediction.experiments:measure_quality",
    sweeps="ctr_prediction.experiments:SWEEPS",
    drills="ctr_prediction.drills:DRILLS",
    people="ctr_prediction.people:Visitors",
    worker="ctr_prediction.worker.effects:make_consumers",
    topics="ctr_prediction.events:topics",
    replay="ctr_prediction.offline.replay:replay",
    skew="ctr_prediction.offline.skew:skew",
    real_logs="ctr_prediction.offline.real_logs.build:build",
    loadtest="loadtests/ctr_prediction.py",
    ask=Ask(
        path="/v1/ads/rank",
        arguments=(
            Argument("user", "user_id", "int", 7, "user to ask for; of an unknown one nothing is known"),
            Argument("slots", "slots", "int", 4, "slots of the page, 1 to 4"),
            Argument("publisher", "context.publisher_id", "int", 0, "whose page it is"),
            Argument("device", "context.device", "str", "phone", "phone, tablet or desktop"),
            Argument("exclude", "exclude", "ints", [], "ids of ads that must not be shown"),
        ),
        rows="slate",
        columns=("slot", "ad_id", "campaign_id", "creative_id", "p_click", "bid", "ecpm", "price", "seen"),
    ),
)
