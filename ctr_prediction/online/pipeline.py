"""The stages of an ad request, in order. Read this file first."""

from __future__ import annotations

from ctr_prediction.domain import AdQuery
from ctr_prediction.items.catalog import Market
from ctr_prediction.model.artifact import NETWORKS, Bundle
from ctr_prediction.model.student import Student
from ctr_prediction.online.auction import AuctionSelector
from ctr_prediction.online.predict import ClickPredictor, InputHydrator
from ctr_prediction.online.target import BudgetFilter, ExcludeFilter, FrequencyCapFilter, TargetingSource
from ctr_prediction.online.user import STAGE, UserHydrator
from infra.faults.switch import FaultSwitch, SwitchedModel
from infra.pipeline.runner import CandidatePipeline
from infra.pipeline.stages import StageNames

STAGES = StageNames(query=STAGE, source="target", filter="filter", hydrate="hydrate", select="auction")
PORTS = {"student": "student", "teacher": "teacher", "naive": "naive_model"}
"""Network -> the name of its port, in faults and in reasons."""


def build_pipeline(
    user: UserHydrator, market: Market, bundle: Bundle, faults: FaultSwitch
) -> CandidatePipeline[AdQuery]:
    """Build the pipeline: user → targeting → budget, frequency cap and exclusion filters → p(click) → auction."""
    student = bundle.student.of_sums if isinstance(bundle.student, Student) else bundle.student
    found = {name: getattr(bundle, name) for name in NETWORKS} | {"student": student}
    networks = {name: SwitchedModel(network, PORTS[name], faults) for name, network in found.items()}
    return CandidatePipeline(
        names=STAGES,
        query_hydrators=[user],
        sources=[TargetingSource(market)],
        filters=[BudgetFilter(market), FrequencyCapFilter(), ExcludeFilter()],
        hydrators=[InputHydrator(bundle, market)],
        scorers={"predict": ClickPredictor(bundle, networks)},
        selector=AuctionSelector(market, bundle),
    )
