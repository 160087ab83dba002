"""Configuration of the ETA design, one dataclass per stage. Users may change the fields that are made by `knob`.

World parameters are not knobs, because models are measured against them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import MappingProxyType

from infra.design import Budget, choice, knob
from infra.evaluation.drift_config import DriftConfig
from infra.evaluation.rollout_config import RolloutConfig


@dataclass(frozen=True)
class CityConfig:
    """The road graph. The map is public: only what happens on it is hidden."""

    side: int = 140
    """nodes along one side of the grid"""
    spacing_m: float = 120.0
    every: int = 8
    """every n-th street of the grid is an arterial"""
    kept_local: float = 0.70
    """share of local streets of the grid that exist"""
    bridges: int = 6
    speed_kmh: tuple[float, float, float] = (30.0, 50.0, 100.0)
    """free-flow speed of local streets, arterials and motorways"""
    lon: float = 10.0
    lat: float = 50.0
    """centre of the city in degrees"""


@dataclass(frozen=True)
class TrafficConfig:
    """Latent congestion of groups of edges. The log pace of a group is C(hour) + W(weather) + A(hour) z."""

    step_s: float = 300.0
    persistence_min: float = 25.0
    """z loses the share 1 - 1/e of its deviation in this time"""
    city_share: float = 0.25
    near_share: float = 0.55
    near_m: float = 4000.0
    """covariance of two groups: city_share + near_share × exp(-distance / near_m), the rest is the group's own"""
    recurrent: tuple[float, float, float] = (0.35, 0.6, 0.7)
    """C at the profile's peak, in logs of pace, by class of road, in the centre"""
    swing: float = 1.5
    """A = swing × (0.07 + 0.26 × profile)"""
    rain: tuple[float, float, float] = (0.06, 0.10, 0.12)
    """W in rain, in logs of pace, by class of road"""
    rain_begins: float = 0.01
    rain_ends: float = 0.03
    """probabilities per step"""
    probe_noise: float = 0.30
    """sd of one traversal's log pace around its group's"""


@dataclass(frozen=True)
class IncidentConfig:
    per_day: float = 250.0
    life_min: float = 35.0
    report_min: float = 5.0
    """means of exponential times"""
    queue_s: float = 150.0
    """mean time that one incident costs a trip that passes it"""


@dataclass(frozen=True)
class TripConfig:
    turn_s: float = 9.0
    signal_s: float = 22.0
    """time of a turn and of a signal at night; doubled at the profile's peak"""
    place_spread: float = 0.5
    """sd over cells of the log overhead of pick-up and drop-off"""
    pick_up_s: float = 60.0
    drop_off_s: float = 40.0
    airport_s: float = 240.0
    overhead_noise: float = 0.45
    """sd of the log overhead of one trip around its cell's"""
    noise: float = 0.13
    """mean sd of the log of driving time, apart from traffic"""
    driver_spread: float = 0.05
    """sd over drivers of their log pace; part of `noise`"""
    detour_share: float = 0.6
    detour_s: float = 180.0
    """share of pooled trips with a second rider, and the median time that this rider costs"""
    event_effect: float = 0.8
    """added to the log overhead of a pick-up near an event that has just ended"""
    reassigned_share: float = 0.05
    """share of trips that another driver serves than the one that was assigned at the quote"""


@dataclass(frozen=True)
class EventConfig:
    """Public events at fixed venues: when one ends, many people look for a ride at the same place."""

    venues: int = 4
    share: float = 0.6
    """probability of an event at a venue on an evening"""
    riders: int = 60
    """trips that begin at an event, on average"""
    near_m: float = 700.0
    """pick-ups within this distance of the venue take longer"""
    lasts_min: float = 45.0
    """time after the end of the event with longer pick-ups and more riders"""


@dataclass(frozen=True)
class RiderConfig:
    """Quotes of the old system, and riders that cancel."""

    quote_factor: float = 1.25
    quote_extra_s: float = 240.0
    """the old system quotes quote_factor × the time of the route at the profile + quote_extra_s"""
    explore_share: float = 0.1
    """share of quotes that the policy `explore` multiplies by one of `explore_factors`, drawn uniformly"""
    explore_factors: tuple[float, ...] = (0.7, 0.85, 1.0, 1.2, 1.4)
    cancel_bias: float = -2.6
    cancel_slope: float = 3.0
    """p(cancel) = sigmoid(cancel_bias + cancel_slope × log(quoted / hoped)): late quotes cancel more"""
    hoped_factor: float = 1.6
    hoped_extra_s: float = 180.0
    """a rider hopes for hoped_factor × the free-flow time + hoped_extra_s"""


@dataclass(frozen=True)
class UploadConfig:
    """Vehicles upload their traversals while they drive; some have no connection for a while."""

    late_share: float = 0.04
    late_min: float = 12.0
    """share of trips that are uploaded late, and the mean of that exponential delay"""


@dataclass(frozen=True)
class WorldConfig:
    """Size and parameters of the generated world. ADR 0016 gives the source of each number."""

    seed: int = 17
    start: str = "2026-01-05T00:00:00+00:00"
    time_zone: str = "Europe/Berlin"
    days: int = 28
    trips_per_day: int = 10_700
    drivers: int = 2_000
    city: CityConfig = CityConfig()
    traffic: TrafficConfig = TrafficConfig()
    incidents: IncidentConfig = IncidentConfig()
    trips: TripConfig = TripConfig()
    events: EventConfig = EventConfig()
    riders: RiderConfig = RiderConfig()
    uploads: UploadConfig = UploadConfig()


@dataclass(frozen=True)
class FeatureConfig:
    live_horizon_min: float = knob(
        60.0,
        unit="min",
        low=0.0,
        high=60.0,
        trades="longer: traffic of now also counts for later parts of a trip; beyond it, the usual traffic of the hour",
    )
    speed_forecast: str = choice(
        "ridge",
        ("ridge", "latest"),
        trades="latest: speeds of now hold for the whole horizon, which helps the next minutes and hurts later ones",
    )
    probe_smoothing: str = choice(
        "neighbour",
        ("edge", "group", "neighbour"),
        trades="edge: only an edge's own traversals, which most edges lack; neighbour: also those of groups nearby",
    )
    residual_half_life_min: float = knob(
        6.0, unit="min", low=1.0, high=240.0, trades="longer: less noise, slower to notice a jam"
    )
    speeds_every_s: float = knob(
        30.0, unit="s", low=1.0, high=600.0, trades="longer: fewer traffic updates to route with, older traffic"
    )
    driver_window_days: int = knob(
        28, unit="days", low=1, high=90, trades="longer: less noise, slower to follow a driver that changes"
    )
    driver_snapshot_h: int = knob(
        6, unit="h", low=1, high=24, trades="shorter: fresher features of drivers, more rows to compute and join"
    )
    ttl_h: float = knob(48.0, unit="h", low=1.0, high=720.0, trades="longer: fewer degraded quotes, older features")


@dataclass(frozen=True)
class SampleConfig:
    holdout_days: int = knob(
        4, unit="days", low=1, high=14, trades="more: tighter intervals of the figures, fewer days to learn from"
    )
    label_cut: str = choice(
        "all",
        ("all", "arrived"),
        trades="arrived: learn every half hour from its trips that have arrived, which are the short ones",
    )
    train_days: int = knob(
        365, unit="days", low=1, high=3650, trades="fewer: older rows are left out after a change, but fewer rows teach"
    )
    live_weight: float = knob(
        1.0,
        unit="",
        low=0.0,
        high=100.0,
        trades="higher: live rows outvote the generated history after a change, but few rows are noisy",
    )


@dataclass(frozen=True)
class ModelConfig:
    loss: str = choice(
        "absolute",
        ("absolute", "squared", "asymmetric_huber"),
        trades="squared: the network predicts mean times, which late trips pull up; absolute: median times; "
        "asymmetric_huber: times that fewer trips exceed",
    )
    turn_inputs: str = choice(
        "yes",
        ("yes", "no"),
        trades="no: the models see no turns and no signals, which the times of the map's edges do not contain",
    )
    per_type: str = choice(
        "yes", ("yes", "no"), trades="no: one correction for all types of ride, so pooled rides are late"
    )
    hidden: int = knob(64, unit="", low=4, high=1024, trades="wider: more capacity, longer training and predictions")
    epochs: int = knob(4, unit="", low=1, high=100, trades="more: better fit until it overfits, longer builds")
    batch: int = knob(2048, unit="trips", low=64, high=65536, trades="larger: faster epochs, fewer updates")
    rounds: int = knob(40, unit="trees", low=1, high=2000, trades="more: better fit until it overfits, slower boosters")
    leaves: int = knob(31, unit="", low=2, high=1024, trades="more: finer splits, more noise, slower boosters")
    folds: int = knob(
        3,
        unit="blocks",
        low=2,
        high=20,
        trades="more: networks that learn from more days, slower builds and answers",
    )
    calibration_days: int = knob(
        4, unit="days", low=1, high=14, trades="more: steadier intervals of the boosters, fewer days to learn from"
    )


@dataclass(frozen=True)
class PredictConfig:
    model: str = choice(
        "best",
        ("best", "network", "boosters", "corrected_route"),
        per_request=True,
        trades="best: what was better on the last days of training; corrected_route: no model, intervals of past trips",
    )
    calibration: str = choice(
        "all_days",
        ("all_days", "last_17", "last_4", "none"),
        per_request=True,
        trades="few days: intervals that follow what changed, with the noise of few days; none: intervals too narrow",
    )
    without_traffic: str = choice(
        "own_model",
        ("own_model", "same_model"),
        per_request=True,
        trades="own_model: without a traffic feed, a model that never saw one answers; same_model: the model for live "
        "traffic answers, with intervals that are too narrow",
    )


@dataclass(frozen=True)
class RouteConfig:
    found_with: str = choice(
        "live",
        ("live", "profile", "distance"),
        per_request=True,
        trades="profile: routes avoid no jam of today; distance: shortest routes, through every street and signal",
    )
    speeds_ttl_s: float = knob(
        300.0, unit="s", low=1.0, high=86_400.0, trades="longer: fewer degraded quotes, older traffic in the others"
    )
    fewest_probes: float = knob(
        50.0,
        unit="traversals",
        low=0.0,
        high=100_000.0,
        per_request=True,
        trades="more: the model with live traffic answers only when much of the city is observed",
    )
    live_departure_min: float = knob(
        10.0,
        unit="min",
        low=0.0,
        high=120.0,
        trades="longer: traffic of now is used for later departures, when it has changed",
    )
    snap_m: float = knob(500.0, unit="m", low=10.0, high=10_000.0, trades="farther: fewer refused points, worse routes")
    farthest_h: float = knob(48.0, unit="h", low=1.0, high=168.0, trades="farther: quotes for days that may differ")


@dataclass(frozen=True)
class QuoteConfig:
    quote_quantile: float = knob(
        0.5,
        unit="",
        low=0.1,
        high=0.9,
        per_request=True,
        trades="higher: fewer trips arrive late, and more riders cancel",
    )
    explore_share: float = knob(
        0.0,
        unit="",
        low=0.0,
        high=1.0,
        per_request=True,
        trades="higher: more quotes that are random, which shows how riders react, and more late and cancelled trips",
    )


@dataclass(frozen=True)
class ServeConfig:
    deadline_ms: float = knob(
        200.0, unit="ms", low=5, high=5000, trades="longer: fewer rejected requests, slower worst case"
    )
    feature_timeout_ms: float = knob(
        20.0, unit="ms", low=1, high=1000, trades="longer: fewer degraded responses, later fallback"
    )
    breaker_open_s: float = knob(
        1.0, unit="s", low=0.1, high=60, trades="longer: less load on a failing store, slower recovery"
    )
    cache_ttl_s: float = knob(
        60.0, unit="s", low=0.0, high=3600.0, trades="longer: fewer reads of the store, older features of drivers"
    )
    cache_drivers: int = knob(
        20_000, unit="drivers", low=1, high=10_000_000, trades="more: fewer reads of the store, more memory"
    )
    workers: int = knob(2, unit="threads", low=1, high=64, trades="more: more concurrent requests, each one slower")
    queue: int = knob(64, unit="requests", low=0, high=1000, trades="longer: fewer rejected requests, longer waits")
    intake_workers: int = knob(
        4, unit="threads", low=1, high=64, trades="more: more events wait for the broker at once, more threads"
    )
    intake_queue: int = knob(
        64,
        unit="calls",
        low=0,
        high=1000,
        trades="longer: fewer rejected events while the broker is slow, longer waits",
    )
    max_body_kb: int = knob(128, unit="kB", low=1, high=1024, trades="larger: larger batches, more to parse")


CALIBRATION_MOVED = 0.15
"""Mean times have less noise than click rates, so a smaller change is worth an alarm. By the hour of the day, they move
by up to 0.11 without any change of the world (ADR 0023)."""


@dataclass(frozen=True)
class EtaConfig:
    world: WorldConfig = WorldConfig()
    features: FeatureConfig = FeatureConfig()
    sample: SampleConfig = SampleConfig()
    model: ModelConfig = ModelConfig()
    predict: PredictConfig = PredictConfig()
    route: RouteConfig = RouteConfig()
    quote: QuoteConfig = QuoteConfig()
    serve: ServeConfig = ServeConfig()
    drift: DriftConfig = field(default_factory=lambda: DriftConfig(drift_calibration=CALIBRATION_MOVED))
    rollout: RolloutConfig = field(default_factory=RolloutConfig)

    @property
    def least_days(self) -> int:
        """Fewest days of history for a build: the holdout, the calibration, and two days to learn from."""
        return self.sample.holdout_days + self.model.calibration_days + 2


BUDGETS = (
    Budget("p99_ms", 50.0, "ms", "at_most", "99 of 100 quotes finish within this time"),
    Budget("batch_p99_ms", 150.0, "ms", "at_most", "99 of 100 batches of 200 pairs finish within this time"),
    Budget("success_share", 0.999, "", "at_least", "share of requests that receive a quote"),
    Budget("degraded_share", 0.01, "", "at_most", "share of quotes that are degraded in normal operation"),
)

SMALL = EtaConfig()
SMOKE = EtaConfig(
    WorldConfig(
        days=8,
        trips_per_day=1_500,
        drivers=150,
        city=CityConfig(side=44, bridges=3),
        incidents=IncidentConfig(per_day=40.0),
        events=EventConfig(venues=2, riders=12),
    ),
    sample=SampleConfig(holdout_days=2),
    model=ModelConfig(batch=256, leaves=15, calibration_days=1),
    drift=DriftConfig(drift_window_s=60.0, retrain_cooldown_s=120.0, drift_calibration=CALIBRATION_MOVED),
    rollout=RolloutConfig(shadow_share=0.5, shadow_requests=50, canary_steps="20, 50", canary_sessions=60),
)
MEDIUM = EtaConfig(
    WorldConfig(
        trips_per_day=53_500,
        drivers=10_000,
        city=replace(CityConfig(), side=313, bridges=10),
        incidents=IncidentConfig(per_day=1_250.0),
        events=EventConfig(venues=15, riders=75),
    )
)
LARGE = EtaConfig(
    WorldConfig(
        trips_per_day=360_000,
        drivers=60_000,
        city=replace(CityConfig(), side=460, bridges=14),
        incidents=IncidentConfig(per_day=2_500.0),
        events=EventConfig(venues=30, riders=90),
    )
)

PRESETS = MappingProxyType({"smoke": SMOKE, "small": SMALL, "medium": MEDIUM, "large": LARGE})
