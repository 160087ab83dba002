"""The feed as one value. Importing it imports no training and no serving code."""

from __future__ import annotations

from feed_ranking.config import BUDGETS
from infra.design import Argument, Ask, Design, Step
from infra.figures import Bound

_WORLD = ("feed_ranking/world", "feed_ranking/domain.py", "feed_ranking/offline/steps.py")
_FEATURES = ("feed_ranking/features.py", "feed_ranking/offline/dataset.py", "infra/feature_store")
_MODELS = ("feed_ranking/offline/networks.py", "feed_ranking/offline/towers.py", "feed_ranking/offline/ranker.py")

DESIGN = Design(
    name="feed_ranking",
    title="Feed ranking",
    summary="Which posts does this user see next? Retrieve a few hundred, rank them, build a slate.",
    port=8010,
    budgets=BUDGETS,
    config="feed_ranking.config:PRESETS",
    steps=(
        Step("world", "feed_ranking.offline.steps:write_history", "Generate the world and its log", ("world",), _WORLD),
        Step(
            "features",
            "feed_ranking.offline.dataset:compute_tables",
            "Compute the feature tables",
            ("world", "features"),
            _FEATURES,
            after=("world",),
        ),
        Step(
            "materialize",
            "feed_ranking.offline.dataset:materialize",
            "Fill the online store (Feast)",
            ("world", "features"),
            _FEATURES,
            after=("features",),
        ),
        Step(
            "train",
            "feed_ranking.offline.train:fit_and_register",
            "Train, export and register (JAX, ONNX, MLflow)",
            ("world", "features", "towers", "ranker"),
            (*_FEATURES, *_MODELS, "feed_ranking/offline/train.py", "infra/registry"),
            after=("world", "features", "materialize"),
        ),
        Step(
            "evaluate",
            "feed_ranking.offline.evaluate:gate",
            "Evaluate on the randomised bucket, gate",
            ("world", "features"),
            ("feed_ranking/offline/evaluate.py", "feed_ranking/offline/metrics.py", "feed_ranking/bundle.py"),
            after=("world", "features", "materialize", "train"),
        ),
        Step(
            "index",
            "feed_ranking.offline.index:build",
            "Snapshot the posts and index them (FAISS)",
            ("world", "features", "towers"),
            ("feed_ranking/offline/index.py", "feed_ranking/snapshot.py"),
            after=("world", "features", "materialize", "train", "evaluate"),
        ),
        Step(
            "release",
            "feed_ranking.offline.release:publish",
            "Release: fetch the champion, verify, point to it",
            ("world",),
            ("feed_ranking/offline/release.py",),
            after=("materialize", "train", "evaluate", "index"),
        ),
    ),
    app="feed_ranking.online.app:create_app",
    bench=(
        Bound("clone_to_slate_s", "clean clone → first slate, downloads included", "s", "<= 180", "<= 90"),
        Bound("again_s", "second `make up` → first slate", "s", "<= 20", "<= 10"),
        Bound("serve_pss_mb", "memory (PSS) of the feed service", "MB", "<= 350", "<= 260"),
        Bound("up_pss_mb", "memory (PSS) of everything that is up", "MB", "<= 700", "<= 500"),
        Bound("tests_s", "`make test`, environment there", "s", "<= 300", "<= 150"),
    ),
    evaluate="evaluate",
    loadtest="loadtests/feed_ranking.py",
    ask=Ask(
        path="/v1/feed",
        arguments=(
            Argument("user", "user_id", "int", 7, "user to ask for; an unknown one gets the cold-start slate"),
            Argument("k", "k", "int", 10, "number of posts, 1 to 200"),
            Argument("seen", "seen", "ints", [], "ids of posts that this user saw already"),
        ),
        rows="slate",
        columns=("position", "post_id", "creator_id", "topic", "score", "sources"),
    ),
)
