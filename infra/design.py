"""A design as one value: its name, budgets, knobs, build steps, and the dotted names of its parts.

Importing a design imports no training and no serving code. Steps, apps and other parts are dotted names, and `resolve`
imports them on use.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Protocol, TypeVar

from infra.errors import UsageError
from infra.evaluation.figures import Bound


class Stage(Protocol):
    """The configuration of one stage: a dataclass."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]


S = TypeVar("S", bound=Stage)


@dataclass(frozen=True)
class Knob:
    """One adjustable number, or one choice among names. `trades` describes the benefit and the cost of a higher value.

    A choice has `choices`; `low` and `high` are unused.
    """

    name: str
    stage: str
    default: float | str
    unit: str
    low: float
    high: float
    trades: str
    per_request: bool
    choices: tuple[str, ...] = ()

    @property
    def is_integer(self) -> bool:
        return isinstance(self.default, int)

    def check(self, value: Any) -> float | str:
        """Return `value` if the knob accepts it. Raises `UsageError` with the accepted range otherwise."""
        if self.choices:
            if value not in self.choices:
                raise UsageError(f"knob {self.name} takes {', '.join(self.choices)}")
            return str(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UsageError(f"knob {self.name} takes a number, not {type(value).__name__}")
        if not self.low <= value <= self.high:  # also refuses NaN
            shown = value if -1e15 < value < 1e15 else "that"
            raise UsageError(f"knob {self.name} takes {self.low} to {self.high} {self.unit}, not {shown}")
        if self.is_integer and not float(value).is_integer():
            raise UsageError(f"knob {self.name} takes a whole number, not {value}")
        return int(value) if self.is_integer else float(value)

    def parse(self, text: str) -> float | str:
        """The value of `text`, from a command line. Raises `UsageError` if the knob does not accept it."""
        try:
            return self.check(text if self.choices else int(text) if text.lstrip("-").isdecimal() else float(text))
        except ValueError:
            raise UsageError(f"knob {self.name} takes a number, not {text!r}") from None


def knob(default: float, *, unit: str, low: float, high: float, trades: str, per_request: bool = False) -> Any:
    """Declare a dataclass field as a numeric knob.

    Raises `ValueError` at definition if the default is outside `low` to `high`.
    """
    if not low <= default <= high:
        raise ValueError(f"default {default} outside {low}..{high}")
    meta = {"unit": unit, "low": low, "high": high, "trades": trades, "per_request": per_request}
    return field(default=default, metadata={"knob": meta})


def choice(default: str, choices: tuple[str, ...], *, trades: str, per_request: bool = False) -> Any:
    """Declare a dataclass field as a knob with named choices. Raises `ValueError` if the default is not among them."""
    if default not in choices:
        raise ValueError(f"default {default} is none of {choices}")
    meta = {"unit": "", "low": 0, "high": 0, "trades": trades, "per_request": per_request, "choices": choices}
    return field(default=default, metadata={"knob": meta})


def with_knobs(config: Any, turned: Mapping[str, Any]) -> Any:
    """A copy of `config` with the knobs in `turned` set; each name is looked up in all stages.

    Raises `UsageError` for an unknown knob, or for a value that the knob does not accept.
    """
    known = {knob.name: knob for knob in knobs_of(config)}
    changes: dict[str, dict[str, Any]] = {}
    for name, value in turned.items():
        if name not in known:
            raise UsageError(f"there is no knob {name!r}", hint=f"choose one of: {', '.join(known)}")
        changes.setdefault(known[name].stage, {})[name] = known[name].check(value)
    stages = {stage: dataclasses.replace(getattr(config, stage), **values) for stage, values in changes.items()}
    return dataclasses.replace(config, **stages) if stages else config


def with_known_knobs(config: Any, turned: Mapping[str, Any]) -> Any:
    """A copy of `config` with the knobs in `turned` set. Unknown names, such as knobs of an older version, are
    ignored."""
    known = {knob.name for knob in knobs_of(config)}
    return with_knobs(config, {name: value for name, value in turned.items() if name in known})


def stage_with_knobs(stage: S, turned: Mapping[str, Any]) -> S:
    """A copy of one stage's configuration with the fields in `turned` replaced. Values are not checked."""
    if not turned:
        return stage
    changes = {item.name: turned[item.name] for item in dataclasses.fields(stage) if item.name in turned}
    return dataclasses.replace(stage, **changes) if changes else stage


def with_history_before(config: Any, day: str) -> Any:
    """A copy of `config` whose generated world ends before `day` (YYYY-MM-DD)."""
    days = (date.fromisoformat(day) - date.fromisoformat(config.world.start[:10])).days
    return dataclasses.replace(config, world=dataclasses.replace(config.world, days=min(days, config.world.days)))


def knobs_of(config: Any) -> tuple[Knob, ...]:
    """All knobs of a configuration, in order. Each field of the configuration is the dataclass of one stage."""

    def walk() -> Iterator[Knob]:
        for stage in dataclasses.fields(config):
            stage_config = getattr(config, stage.name)
            for item in dataclasses.fields(stage_config):
                if meta := item.metadata.get("knob"):
                    yield Knob(item.name, stage.name, getattr(stage_config, item.name), **meta)

    return tuple(walk())


@dataclass(frozen=True)
class Budget:
    """A required limit of a measured figure. Load runs read budgets from `GET /v1/design`."""

    name: str
    limit: float
    unit: str
    kind: Literal["at_most", "at_least"]
    promise: str

    def holds(self, value: float) -> bool:
        return value <= self.limit if self.kind == "at_most" else value >= self.limit


@dataclass(frozen=True)
class Step:
    """One offline step. A build reruns it if its configuration, its code or an earlier step changed.

    - `config`: names of the configuration stages that the step reads.
    - `after`: names of the steps whose output it reads.
    - `option`: the step runs only if the build has this option; otherwise later steps get no output of it.
    - `still_there`: function (output, settings) -> bool for a step that also writes to a server. It returns False if
      the server has lost the data.
    - `cut`: function (settings) -> str for a step that reads a growing log. It names the part of the log that this
      build reads, empty for none. A build calls it once and passes the result to the step in its context.
    - `trains`: the step trains models, which needs the memory and the cores of the machine. An orchestrator runs one
      such step at a time.
    - `apart`: a whole build runs the step in a child process, because its libraries would stay in memory
      (`infra.build.apart`). Consecutive steps share the child.

    The code of a step is its target and every module that the target imports (`infra.build.step_code`).
    """

    name: str
    target: str
    title: str
    config: tuple[str, ...]
    after: tuple[str, ...] = ()
    option: str = ""
    still_there: str = ""
    cut: str = ""
    trains: bool = False
    apart: bool = False


@dataclass(frozen=True)
class Argument:
    """One option of `lab ask`. `--option VALUE` sets `field` of the request body; `a.b` is the field b of a."""

    option: str
    field: str
    type: Literal["int", "float", "ints", "str"]
    default: Any
    help: str

    def put(self, body: dict[str, Any], value: Any) -> None:
        """Set the field of `body` to `value`."""
        outer, dot, inner = self.field.partition(".")
        if dot:
            body.setdefault(outer, {})[inner] = value
        else:
            body[outer] = value


@dataclass(frozen=True)
class Ask:
    """How the command line sends one request to the design and shows the answer.

    `picture` is the path that answers the same request with a drawing (SVG), if the design has one.
    """

    path: str
    arguments: tuple[Argument, ...]
    rows: str
    columns: tuple[str, ...]
    picture: str = ""

    def example(self) -> dict[str, Any]:
        """A request body with the defaults of all arguments."""
        body: dict[str, Any] = {}
        for argument in self.arguments:
            argument.put(body, argument.default)
        return body


@dataclass(frozen=True)
class RealFiles:
    """How `lab build` trains a design on files that the user supplies, as dotted names.

    - `source`: the class of the files. Its class method `of` takes the options named in its `OPTIONS` and raises
      `UsageError` for an invalid combination; `USAGE` is one line that shows them; `str` names the files; `check`
      raises `UsageError` if one is missing or empty.
    - `build`: function (source, settings, progress) -> `infra.build.real_files.RealBuild`.
    - `check`: function (source) that raises `UsageError` if a file is not what the options claim; optional. It imports
      no training code, so that the message appears at once.
    """

    source: str
    build: str
    check: str = ""


@dataclass(frozen=True)
class Shift:
    """The change of a design's world that `lab world shift` causes. `title` says what changes; `size` is its one
    parameter, from `low` to `high`, in `unit`."""

    title: str
    size: float
    low: float
    high: float
    unit: str = ""

    def check(self, size: float) -> float:
        """Return `size` if it is allowed. Raises `UsageError` with the allowed range otherwise."""
        if not self.low <= size <= self.high:  # also refuses NaN
            unit = f" {self.unit}" if self.unit else ""
            raise UsageError(f"a shift has a size of {self.low:g} to {self.high:g}{unit}, not {size:g}")
        return size


@dataclass(frozen=True)
class Plant:
    """A cause that `lab plant` can plant: the design is then good offline and bad online (`infra.faults.planted`).

    `title` says what is wrong. `step` names the build step that the cause changes, and is empty for a cause that
    changes the running service.
    """

    name: str
    title: str
    step: str = ""


@dataclass(frozen=True)
class Design:
    """One system design: a reference architecture with its parts.

    `config` is the dotted name of the presets, a mapping from a preset's name to its configuration value. `container`
    is the design's service in `docker-compose.yml`. `evaluate` names the step that writes `figures.json`. `bench` lists
    the figures of `lab bench` with their bounds. `headline` lists the ids of the figures that the README shows, from
    `lab bench` and `lab evaluate`. `load_users` is the number of users that `lab load` simulates by default, each with
    five requests per second. Two cores serve this rate within the budgets while the rest of the lab runs. `shift` is a
    change of the world that the simulated users of `lab live` can live through. `plants` are the causes that
    `lab plant` can plant.

    The other dotted names:

    - `player`, `judge` and `quality`: the interfaces for experiments (`infra.evaluation.experiment`).
    - `sweeps`: the experiments.
    - `drills`: the failure drills (`infra.evaluation.drill`).
    - `faults`: the faults of the design's ports (`infra.faults.catalogue`).
    - `benchmarks`: compares the service with its parts.
    - `people`: the simulated users of `lab live` (`infra.evaluation.population`).
    - `drift`: what the drift monitor reads in the live log (`infra.telemetry.drift.observed.DriftSource`).
    - `canary`: the online metric of a rollout (`infra.telemetry.canary.source.CanarySource`).
    - `in_process`: the service and its worker for simulated traffic (`infra.evaluation.simulated.parts.InProcess`).
    - `replay`, `skew` and the optional `candidates`: check the prediction log (`infra.prediction_log.results`).
    - `worker`: creates the consumers of the design's events (`infra.stream.worker`).
    - `topics`: lists the topics that the worker reads and writes.
    - `live_log`: the log that the worker writes and a retraining reads (`infra.live.live_log`).
    - `holdout`: a function (config, paths by step, progress) -> figures that take too long for every build; optional.
      `lab evaluate` calls it with the rows of the gate.
    - `feedback`: simulates weeks of training on the own log (`infra.evaluation.feedback`); optional.
    - `alerts`: the alert rules of the design beside those of its budgets (`infra.telemetry.alerts.rule`); optional.

    `real_files` is None for a design that cannot train on files that the user supplies. `as_of` is a date (YYYY-MM-DD)
    for a build that reads only the data before it (`infra.build.as_of`), and empty otherwise.
    """

    name: str
    title: str
    summary: str
    port: int
    container: str
    budgets: tuple[Budget, ...]
    config: str
    steps: tuple[Step, ...]
    app: str
    bench: tuple[Bound, ...]
    benchmarks: str
    evaluate: str
    player: str
    judge: str
    quality: str
    sweeps: str
    drills: str
    faults: str
    people: str
    worker: str
    topics: str
    live_log: str
    replay: str
    skew: str
    drift: str
    canary: str
    in_process: str
    loadtest: str
    load_users: int
    ask: Ask
    shift: Shift
    plants: tuple[Plant, ...] = ()
    real_files: RealFiles | None = None
    holdout: str = ""
    candidates: str = ""
    feedback: str = ""
    alerts: str = ""
    headline: tuple[str, ...] = ()
    as_of: str = ""

    def __str__(self) -> str:
        return self.name

    def presets(self) -> Mapping[str, Any]:
        presets: Mapping[str, Any] = resolve(self.config)
        return presets

    def configuration(self, preset: str, turned: Mapping[str, Any] = MappingProxyType({})) -> Any:
        """The configuration of one preset, with the knobs in `turned` set.

        Raises `UsageError` for an unknown preset, an unknown knob, or a value that a knob does not accept.
        """
        presets = self.presets()
        if preset not in presets:
            raise UsageError(f"{self.name} has no preset {preset!r}", hint=f"choose one of: {', '.join(presets)}")
        config = with_knobs(presets[preset], turned)
        return with_history_before(config, self.as_of) if self.as_of else config

    def knobs(self, preset: str) -> tuple[Knob, ...]:
        return knobs_of(self.configuration(preset))


def resolve(dotted: str) -> Any:
    """Import `package.module` and return its `name`, for `package.module:name`."""
    module, _, name = dotted.partition(":")
    return getattr(importlib.import_module(module), name)
