"""Every command, file and link on a documentation page exists."""

from __future__ import annotations

import re
import shlex
from math import prod
from pathlib import Path
from typing import Any

import pytest
import typer.main

from infra.design import resolve
from infra.settings import REPOSITORY
from lab.cli import app
from lab.designs import NAMES, find_design
from lab.output.asking import request_body

PAGES = sorted(
    path for path in [*REPOSITORY.glob("*.md"), *(REPOSITORY / "designs").rglob("*.md")] if path.name != "CHANGELOG.md"
)
COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
TARGETS = set(re.findall(r"^([a-z0-9-]+):", (REPOSITORY / "Makefile").read_text(), re.M))
TOP = {path.name for path in REPOSITORY.iterdir()}
GENERATED = ("var/", ".venv/")


@pytest.fixture(params=PAGES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def page(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


def commands(text: str) -> list[str]:
    """Return the shell lines of code blocks, and all inline code."""
    blocks = re.findall(r"```(?:bash|sh|console)?\n(.*?)```", text, re.S)
    lines = [line.strip().removeprefix("$ ") for block in blocks for line in block.splitlines()]
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.S))
    return [line.split("#")[0].strip() for line in [*lines, *inline] if "…" not in line]


def test_lab_commands_on_pages_parse(page: Path) -> None:
    for line in commands(page.read_text()):
        words = shlex.split(line) if re.match(r"^(\.venv/bin/)?lab ", line) else []
        placeholder = any(word.isupper() and len(word) > 2 for word in words)  # such as DESIGN
        if not words or placeholder or words[1].startswith("-"):
            continue
        command = COMMANDS.get(words[1])
        assert command is not None, line
        words = words[1:]
        if hasattr(command, "commands"):  # a group, such as `lab world`
            command, words = command.commands.get(words[1]), words[1:]
            assert command is not None, line
        context = command.make_context(words[0], words[1:], resilient_parsing=False)
        if words[0] == "ask":
            request_body(find_design(context.params["design"]), context.args)
        else:
            assert not context.args, line
        assert context.params.get("design", NAMES[0]) in NAMES, line


def test_make_targets_on_pages_exist(page: Path) -> None:
    for line in commands(page.read_text()):
        words = shlex.split(line) if re.match(r"^([A-Z_]+=\S+ )?make\b", line) else []
        targets = [word for word in words if "=" not in word and word != "make"]
        assert set(targets) <= TARGETS, line


def test_files_named_on_pages_exist(page: Path) -> None:
    for name in re.findall(r"`([\w./-]+)`", page.read_text()):
        is_path = ("/" in name and name.split("/")[0] in TOP) or re.fullmatch(r"[\w-]+\.(md|toml|yml)", name)
        if is_path and not name.startswith(GENERATED):
            found = (REPOSITORY / name).exists() or (page.parent / name).exists()
            assert found, f"{page.name} names {name}"


def test_relative_links_on_pages_resolve(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
        if not re.match(r"https?:", target):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_failure_modes_page_has_a_row_for_every_fault() -> None:
    rows = (REPOSITORY / "designs" / "failure_modes.md").read_text()
    found = set(re.findall(r"^\| `(\w+)` \| `(\w+)` \|", rows, re.M))
    faults = {fault for name in NAMES for fault in resolve(find_design(name).faults)}
    assert found == {(fault.port, fault.name) for fault in faults}


DESIGN_PAGES = list(NAMES)


@pytest.mark.parametrize("name", DESIGN_PAGES)
def test_design_page_shows_command_plot_and_finding_of_every_sweep(name: str) -> None:
    page = (REPOSITORY / "designs" / f"{name}.md").read_text()
    for sweep in resolve(find_design(name).sweeps):
        assert f"`.venv/bin/lab sweep {name} {sweep.name}`" in page, sweep.name
        assert f"](plots/{sweep.name}.svg)" in page, sweep.name
        plots = REPOSITORY / "designs" / "plots"
        finding = (plots / f"{sweep.name}.txt").read_text().strip()
        assert finding in " ".join(page.replace("\n> ", " ").split()), f"{sweep.name}: the page has another finding"
        rows = (plots / f"{sweep.name}.csv").read_text().splitlines()
        assert len(rows) == 1 + prod(len(values) for values in sweep.vary.values()), sweep.name


@pytest.mark.parametrize("name", DESIGN_PAGES)
def test_every_box_of_the_diagram_links_to_an_existing_file(name: str) -> None:
    (diagram,) = re.findall(r"```mermaid\n(.*?)```", (REPOSITORY / "designs" / f"{name}.md").read_text(), re.S)
    boxes = set(re.findall(r"(\w+)\[[^\]\"]+\]", diagram)) | set(re.findall(r"(\w+)\[\(", diagram))
    links = dict(re.findall(r'click (\w+) "([^"]+)"', diagram))
    assert boxes <= set(links), boxes - set(links)
    for target in links.values():
        assert (REPOSITORY / "designs" / target).exists(), target


def test_every_adr_has_the_required_sections_and_is_in_the_index() -> None:
    directory = REPOSITORY / "designs" / "adr"
    index = (directory / "README.md").read_text()
    sections = ["The need", "Alternatives", "The choice", "What it costs", "When you would choose otherwise"]
    pages = sorted(directory.glob("0*.md"))
    assert len(pages) >= 9
    for path in pages:
        assert re.findall(r"^## (.+)$", path.read_text(), re.M) == sections, path.name
        assert path.name in index, path.name


def test_pages_and_build_files_name_no_machine_or_package_host() -> None:
    hosts = re.compile("pypi" + r"\.org|files\.python" + r"hosted|/work" + "/main")
    for path in [*PAGES, *(REPOSITORY / "requirements").iterdir(), REPOSITORY / "Makefile"]:
        assert not hosts.search(path.read_text()), path.name
