"""The stages of a feed request, in order. Read this file first."""

from __future__ import annotations

from feed_ranking.domain import FeedQuery
from feed_ranking.items.catalog import Catalogue
from feed_ranking.model.artifact import Bundle
from feed_ranking.online.cut import ScoreCut
from feed_ranking.online.inputs import InputHydrator, LightHydrator, ReadStats
from feed_ranking.online.light_rank import LightRanker
from feed_ranking.online.rank import HeavyRanker
from feed_ranking.online.rerank import SlateSelector
from feed_ranking.online.retrieve import FollowSource, FreshSource, InterestSource, TrendingSource, UnseenFilter
from feed_ranking.online.user import InterestHydrator, UserHydrator
from infra.faults.switch import FaultSwitch, SwitchedIndex, SwitchedModel
from infra.pipeline.runner import CandidatePipeline
from infra.pipeline.stages import StageNames

STAGES = StageNames(query="query", source="retrieve", filter="filter", hydrate="hydrate", select="rerank")


def build_pipeline(
    user: UserHydrator,
    catalogue: Catalogue,
    bundle: Bundle,
    faults: FaultSwitch,
    read_stats: ReadStats | None = None,
) -> CandidatePipeline[FeedQuery]:
    """Build the pipeline: user → four candidate sources → seen-post filter → light inputs → light score and cut →
    all inputs → rank → slate."""
    priors, topics = bundle.priors, bundle.priors.topics
    tower = SwitchedModel(bundle.user_tower, "user_tower", faults)
    light = SwitchedModel(bundle.light, "light_ranker", faults)
    heavy = SwitchedModel(bundle.heavy, "heavy_ranker", faults)
    return CandidatePipeline(
        names=STAGES,
        query_hydrators=[user, InterestHydrator(tower, priors)],
        sources=[
            FollowSource(catalogue),
            InterestSource(SwitchedIndex(catalogue.snapshot.index, faults)),
            TrendingSource(catalogue),
            FreshSource(catalogue),
        ],
        filters=[UnseenFilter(catalogue)],
        hydrators=[LightHydrator(catalogue, priors, read_stats)],
        scorers={"cut": LightRanker(light), "rank": HeavyRanker(heavy)},
        cuts={"cut": ScoreCut()},
        late={"rank": [InputHydrator(catalogue, priors)]},
        selector=SlateSelector(catalogue, topics),
    )
