"""The feed as one value. Importing it imports no training and no serving code."""

from __future__ import annotations

from feed_ranking.config import BUDGETS
from infra.design import Argument, Ask, Design, Step
from infra.figures import Bound

_WORLD = ("feed_ranking/world", "feed_ranking/domain.py", "feed_ranking/offline/steps.py")
_COUNTING = "feed_ranking/counting.py"
_LIVE = (_COUNTING, "feed_ranking/domain.py", "feed_ranking/offline/live_files.py", "feed_ranking/offline/live_log.py")
_TABLES = ("feed_ranking/features.py", *_LIVE, "feed_ranking/offline/tables.py", "infra/feature_store")
_SAMPLE = (*_TABLES, "feed_ranking/offline/dataset.py", "feed_ranking/inputs")
_MODELS = tuple(f"feed_ranking/offline/{name}.py" for name in ("towers", "ranker", "train"))
_JUDGE = tuple(f"feed_ranking/offline/{name}.py" for name in ("evaluate", "holdout", "metrics"))

DESIGN = Design(
    name="feed_ranking",
    title="Feed ranking",
    summary="Which posts does this user see next? Retrieve 1,500, cut, rank, re-rank into a slate.",
    port=8010,
    container="feed",
    budgets=BUDGETS,
    config="feed_ranking.config:PRESETS",
    steps=(
        Step("world", "feed_ranking.offline.steps:write_history", "Generate the world and its log", ("world",), _WORLD),
        Step(
            "live",
            "feed_ranking.offline.live_log:cut_log",
            "Cut the live log",
            ("world",),
            _LIVE,
            cut="feed_ranking.offline.live_files:cut_of",
        ),
        Step(
            "features",
            "feed_ranking.offline.tables:compute_tables",
            "Compute the feature tables",
            ("world", "features"),
            _TABLES,
            after=("world", "live"),
        ),
        Step(
            "materialize",
            "feed_ranking.offline.dataset:materialize",
            "Fill the online store (Feast)",
            ("world", "features"),
            _SAMPLE,
            after=("live", "features"),
            still_there="feed_ranking.offline.presence:has_users",
        ),
        Step(
            "naive",
            "feed_ranking.offline.dataset:materialize_items",
            "Fill it with items too, the naive way",
            ("world", "features"),
            _SAMPLE,
            after=("live", "features"),
            option="naive-hydration",
        ),
        Step(
            "sample",
            "feed_ranking.offline.dataset:write_samples",
            "Join impressions with what was known (Feast)",
            ("world", "features", "sample"),
            _SAMPLE,
            after=("world", "live", "features", "materialize"),
        ),
        Step(
            "train",
            "feed_ranking.offline.train:fit_and_register",
            "Train, export and register (JAX, ONNX, MLflow)",
            ("world", "objective", "sample", "towers", "light", "heavy"),
            (*_SAMPLE, *_MODELS, "feed_ranking/bundle.py", "infra/training", "infra/registry"),
            after=("sample",),
            still_there="infra.registry.presence:has_model",
        ),
        Step(
            "evaluate",
            "feed_ranking.offline.evaluate:gate",
            "Evaluate on the randomised bucket, gate",
            ("world", "objective"),
            (*_JUDGE, "feed_ranking/bundle.py", "infra/training/click_metrics.py"),
            after=("sample", "train"),
        ),
        Step(
            "index",
            "feed_ranking.offline.index:build",
            "Snapshot the posts and index them (FAISS)",
            ("world", "features", "index"),
            ("feed_ranking/offline/index.py", "feed_ranking/snapshot.py", "feed_ranking/vector_index.py"),
            after=("world", "live", "features", "materialize", "train", "evaluate"),
        ),
        Step(
            "release",
            "feed_ranking.offline.release:publish",
            "Release: fetch the champion, verify, point to it",
            ("world", "features"),
            ("feed_ranking/offline/release.py",),
            after=("live", "materialize", "naive", "train", "evaluate", "index"),
        ),
    ),
    app="feed_ranking.online.app:create_app",
    bench=(
        Bound("p99_ms", "p99 of a request, open-loop arrivals at 30% of capacity", "ms", "<= 80", "<= 30"),
        Bound("capacity_per_s", "requests per second of one process, 4 clients that never wait", "/s"),
        Bound(
            "http_over_kernels",
            "p50 over HTTP / sum of the bare kernels on the same inputs and one bare Feast read",
            "×",
            "<= 1.6",
            "<= 1.25",
        ),
        Bound(
            "hydration_speedup",
            "post and creator columns of 1,000 posts: Feast's time / the snapshot's, equal values",
            "×",
            ">= 300",
            ">= 1000",
        ),
        Bound("ann_recall", "recall@500 of the default index", "", ">= 0.97", ">= 0.99"),
        Bound("ann_over_flat", "time of ivf / time of flat, among 500,000 vectors", "×", "<= 0.5", "<= 0.2"),
        Bound("ann_recall_large", "recall@500 of that ivf index", "", ">= 0.97", ">= 0.99"),
        Bound("offline_s", "whole build, caches empty", "s", "<= 90", "<= 60"),
        Bound("offline_mb", "peak resident memory of that build", "MB", "<= 2048"),
        Bound("clone_to_slate_s", "clean clone → first slate, downloads included", "s", "<= 180", "<= 90"),
        Bound("again_s", "second `make up` → first slate", "s", "<= 20", "<= 10"),
        Bound("serve_pss_mb", "memory (PSS) of the feed service", "MB", "<= 400", "<= 300"),
        Bound("up_pss_mb", "memory (PSS) of everything that is up", "MB", "<= 700", "<= 500"),
        Bound(
            "compose_first_s",
            "`docker compose up --build`, caches warm → all healthy and a slate",
            "s",
            "<= 300",
            "<= 180",
        ),
        Bound("compose_again_s", "the same again, volumes kept", "s", "<= 60", "<= 20"),
        Bound("compose_mb", "memory in use by all containers", "MB", "<= 2500", "<= 1800"),
        Bound("image_mb", "size of the lab's image", "MB", "<= 2500", "<= 1500"),
        Bound("tests_s", "`make test`, environment there", "s", "<= 480", "<= 240"),
    ),
    benchmarks="feed_ranking.benchmarks:FeedBenchmarks",
    evaluate="evaluate",
    player="feed_ranking.online.play:FeedPlayer",
    judge="feed_ranking.offline.evaluate:Judge",
    quality="feed_ranking.experiments:measure_quality",
    sweeps="feed_ranking.experiments:SWEEPS",
    drills="feed_ranking.drills:DRILLS",
    people="feed_ranking.people:Visitors",
    worker="feed_ranking.worker.effects:make_consumers",
    topics="feed_ranking.events:topics",
    replay="feed_ranking.offline.replay:replay",
    skew="feed_ranking.offline.skew:skew",
    loadtest="loadtests/feed_ranking.py",
    ask=Ask(
        path="/v1/feed",
        arguments=(
            Argument("user", "user_id", "int", 7, "user to ask for; an unknown one gets the cold-start slate"),
            Argument("k", "k", "int", 10, "number of posts, 1 to 200"),
            Argument("seen", "seen", "ints", [], "ids of posts that this user saw already"),
        ),
        rows="slate",
        columns=("position", "post_id", "ad_id", "creator_id", "topic", "score", "propensity", "sources"),
    ),
)
