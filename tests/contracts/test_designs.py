"""Every design has valid steps, dotted names, drills, knobs, budgets and ports."""

from __future__ import annotations

import subprocess
import sys

import grimp
import pytest
import yaml

from infra.build.step_code import step_modules
from infra.design import Design, resolve
from infra.errors import UsageError
from infra.evaluation.drill import LEAST_REQUESTS
from infra.live.live_log import LiveLog
from infra.settings import REPOSITORY
from lab.designs import load_designs

DESIGNS = load_designs()
HEAVY = ("feast", "jax", "mlflow", "onnxruntime", "faiss", "pandas", "duckdb", "fastapi")


@pytest.fixture(params=DESIGNS, ids=str)
def design(request: pytest.FixtureRequest) -> Design:
    found: Design = request.param
    return found


def test_design_module_imports_no_heavy_library(design: Design) -> None:
    code = f"import sys, {design.name}.design; print([m for m in {HEAVY!r} if m in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"


def test_orchestrator_reads_the_designs_with_the_standard_library_alone() -> None:
    """Airflow has an environment of its own, without the lab's packages. `-S` leaves out all installed packages."""
    code = "import infra.build.tasks, lab.designs; lab.designs.load_designs()"
    command = [sys.executable, "-S", "-c", code]
    environment = {"PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=environment)
    assert done.returncode == 0, done.stderr


def test_steps_come_after_their_inputs(design: Design) -> None:
    seen: set[str] = set()
    for step in design.steps:
        assert set(step.after) <= seen, step.name
        seen.add(step.name)


def test_dotted_names_of_a_design_resolve_to_code(design: Design) -> None:
    for step in design.steps:
        assert callable(resolve(step.target))
    assert isinstance(resolve(design.live_log), LiveLog)
    for name in (
        design.app,
        design.player,
        design.judge,
        design.quality,
        design.benchmarks,
        design.people,
        design.worker,
        design.replay,
        design.skew,
    ):
        assert callable(resolve(name)), name
    assert not design.holdout or callable(resolve(design.holdout))
    assert all(sweep.question for sweep in resolve(design.sweeps))


def test_sweeps_that_show_one_side_of_a_trade_off_are_marked() -> None:
    one_sided = {sweep.name for design in DESIGNS for sweep in resolve(design.sweeps) if sweep.one_sided}
    of_quotes = {"calibration_days", "exploration"}
    assert one_sided == {"epsilon", "ads", "calibration", "reserve", "randomised_share"} | of_quotes


def test_sweeps_have_different_names() -> None:
    """The pages show the plot of a sweep by its name."""
    names = [sweep.name for design in DESIGNS for sweep in resolve(design.sweeps)]
    assert len(set(names)) == len(names)


def test_drills_use_existing_faults_containers_and_figures(design: Design) -> None:
    faults = {(fault.port, fault.name) for fault in resolve(design.faults)}
    containers = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())["services"]
    figures = {"requests", "success_share", "p99_ms", "degraded_share", "breaker_open_s", "recovery_s"}
    drills = resolve(design.drills)
    assert len({drill.name for drill in drills}) == len(drills)
    for drill in drills:
        assert (drill.method.port, drill.method.fault) in faults
        assert drill.method.service in containers
        assert drill.requests >= LEAST_REQUESTS
        assert {probe.figure for probe in (*drill.steady, *drill.expect, *drill.recover)} <= figures
        assert drill.steady
        assert drill.expect
        assert drill.recover
    assert design.evaluate in {step.name for step in design.steps}
    assert (REPOSITORY / design.loadtest).exists()


def test_step_fingerprint_covers_every_imported_module_of_the_design(design: Design) -> None:
    """Otherwise a build would skip a step with changed code. The fingerprint has the values of `config`."""
    graph = grimp.build_graph(design.name)
    for step in design.steps:
        module = step.target.partition(":")[0]
        used = {name for name in {module} | graph.find_upstream_modules(module) if name.startswith(design.name)}
        files = {graph_file(name) for name in used} - {f"{design.name}/config.py"}
        assert files <= {str(path.relative_to(REPOSITORY)) for path in step_modules(step.target)}, step.name


def graph_file(module: str) -> str:
    path = module.replace(".", "/")
    return f"{path}/__init__.py" if (REPOSITORY / path).is_dir() else f"{path}.py"


def test_steps_name_existing_configuration_stages(design: Design) -> None:
    stages = set(vars(design.configuration("smoke")))
    for step in design.steps:
        assert set(step.config) <= stages, step.name


def test_knobs_are_equal_in_all_presets_and_describe_their_trade_off(design: Design) -> None:
    presets = list(design.presets())
    assert presets == ["smoke", "small", "medium", "large"]
    first = [(knob.name, knob.low, knob.high) for knob in design.knobs(presets[0])]
    for preset in presets:
        assert [(knob.name, knob.low, knob.high) for knob in design.knobs(preset)] == first
    for knob in design.knobs("small"):
        assert len(knob.trades) > 15, knob.name
        assert knob.check(knob.default) == knob.default
    names = [knob.name for knob in design.knobs("small")]
    assert len(set(names)) == len(names), "requests and sweeps refer to a knob by name, without its stage"


def test_shift_of_the_world_has_a_size_that_it_accepts(design: Design) -> None:
    shift = design.shift
    assert shift.check(shift.size) == shift.size
    assert 0 < shift.low < shift.high, "0 is the world without a shift"
    for wrong in (0.0, shift.low * 0.99, shift.high * 1.01, float("nan")):
        with pytest.raises(UsageError, match="a shift has a size of"):
            shift.check(wrong)


def test_budgets_use_figures_of_a_load_run(design: Design) -> None:
    measured = {"p50_ms", "p99_ms", "batch_p99_ms", "success_share", "degraded_share", "requests_per_s"}
    assert {budget.name for budget in design.budgets} <= measured
    assert any(budget.unit == "ms" for budget in design.budgets)


def test_designs_have_different_ports() -> None:
    assert len({design.port for design in DESIGNS}) == len(DESIGNS)
