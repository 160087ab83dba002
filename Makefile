# `make up` runs the lab; `make test` checks it. Both set up .venv first, need only Python 3.11+ and make,
# and may be run any number of times.

DESIGN ?=
PRESET ?= small
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1 \
	&& echo $$p && exit; done; echo python3)
SUITE ?=
FILE ?=
BIN := .venv/bin
UV := $(BIN)/python -m uv
AIRFLOW := .venv-airflow
# Compiled modules are kept: without them every process compiles its libraries again, for seconds.
unexport PYTHONDONTWRITEBYTECODE
# Four test processes on two cores, because many tests wait for a process that they start: with four, both cores are
# busy for 92% of the run. tests/conftest.py groups tests that share fixtures; a group stays in one of the processes.
PARALLEL := -n 4 --dist loadfile --no-loadscope-reorder
ALONE := -m "timing or alone"
ALONE_FILES = $(shell grep -rlE 'mark\.(timing|alone)' tests --include='*.py')
TOGETHER := -m "not timing and not alone"

.PHONY: help up down env env-dev test all-tests some-tests quick together lint types unit contracts \
	integration e2e timing rules dashboards airflow-env airflow-test loop-test loop-more \
	compose-up compose-down compose-test compose-parts compose-stack engine bench evaluate lock clean

help: ## show the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 14

up: env ## set up, build what is missing, serve until Ctrl-C (DESIGN=feed_ranking PRESET=small WORKERS=2)
	@$(BIN)/lab up $(DESIGN) --preset $(PRESET) $(if $(WORKERS),--workers $(WORKERS))

down: env ## stop a lab that was left running
	@$(BIN)/lab down --preset $(PRESET)

test: $(if $(SUITE)$(FILE),some-tests,all-tests) ## everything that must be green; or SUITE=unit FILE=infra/test_design.py

# lint and mypy run beside the suites; the timing tests run alone
all-tests: env-dev
	@$(MAKE) --no-print-directory -j 3 lint types together
	@$(MAKE) --no-print-directory timing

some-tests: env-dev
	$(BIN)/pytest $(if $(SUITE),tests/$(SUITE)$(if $(FILE),/$(FILE)),$(FILE))

quick: env-dev ## ruff, import contracts and unit tests of what has changed, in seconds
	@$(BIN)/python scripts/quick.py

# One run of all suites but `timing`, the long files first, so that the test processes end at about the same time.
together: env-dev
	$(BIN)/pytest tests/e2e tests/integration tests/contracts tests/unit $(PARALLEL) $(TOGETHER) -k "not kafka"

env:
	@command -v $(PYTHON) >/dev/null 2>&1 || { echo "set-up: no Python found; install Python 3.11, 3.12 or 3.13" >&2; exit 1; }
	@$(PYTHON) scripts/bootstrap.py lab

env-dev:
	@command -v $(PYTHON) >/dev/null 2>&1 || { echo "set-up: no Python found; install Python 3.11, 3.12 or 3.13" >&2; exit 1; }
	@$(PYTHON) scripts/bootstrap.py dev

lint: env-dev ## ruff and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: env-dev ## mypy, strict
	$(BIN)/mypy

unit: env-dev ## pure parts and properties
	$(BIN)/pytest tests/unit $(PARALLEL) $(TOGETHER)

contracts: env-dev ## what every design and every adapter must keep
	$(BIN)/pytest tests/contracts $(PARALLEL) $(TOGETHER) -k "not kafka"

integration: env-dev ## real Feast, MLflow and models on the smoke preset
	$(BIN)/pytest tests/integration $(PARALLEL) $(TOGETHER)

e2e: env-dev ## processes and HTTP, as a user meets them
	$(BIN)/pytest tests/e2e $(PARALLEL) $(TOGETHER)

timing: env-dev ## budgets and drills, one at a time; a try that a busy machine spoilt is repeated
	$(BIN)/pytest $(ALONE_FILES) $(ALONE) -k "not kafka" -rsP --show-capture=stdout

airflow-env: env-dev
	@cmp -s requirements/airflow.txt $(AIRFLOW)/installed.txt || { \
		echo "set-up: installing Airflow into $(AIRFLOW), about 300 MB" >&2; \
		$(UV) venv --quiet --clear --python $(BIN)/python $(AIRFLOW) \
		&& $(UV) pip install --python $(AIRFLOW)/bin/python --require-hashes -r requirements/airflow.txt \
		&& cp requirements/airflow.txt $(AIRFLOW)/installed.txt; }

airflow-test: airflow-env ## the DAGs in Airflow itself, without Docker, and one smoke build by tasks
	$(BIN)/pytest tests/airflow

loop-test: env-dev ## the learning loop: a model that the gate stops, one that users stop, a shift and its new champion
	$(BIN)/pytest tests/loop/test_loop.py

loop-more: env-dev ## windows of all designs with and without a shift, planted causes that need a training; half an hour
	$(BIN)/pytest tests/loop/test_simulated_shifts.py tests/loop/test_plants.py

compose-up: engine ## the same with Docker: Redis, PostgreSQL, MLflow, Prometheus; stays up in the background
	docker compose --profile all up --build --detach
	@echo "building the models of all designs, some minutes: docker compose logs --follow build ads-build eta-build"
	@echo "then the feed answers at http://127.0.0.1:$${LAB_PORT:-8010}, the ads at http://127.0.0.1:$${LAB_ADS_PORT:-8020},"
	@echo "ride ETA at http://127.0.0.1:$${LAB_ETA_PORT:-8030}, Airflow at http://127.0.0.1:$${LAB_AIRFLOW_PORT:-8080};"
	@echo "take it down with: make compose-down"

compose-down: engine ## stop it, keep its data (docker compose down --volumes forgets the data too)
	docker compose --profile '*' down

compose-test: engine env-dev ## bring everything up from nothing, use it, break it, take it down
	@$(MAKE) --no-print-directory compose-parts
	@$(MAKE) --no-print-directory compose-stack

# The learning loop, Airflow, alerts and contracts wait for most of their time, and measure no speed: they run together.
# Without the loop, which takes ten minutes: LOOP=
LOOP := tests/compose/test_loop.py
compose-parts: engine env-dev
	$(BIN)/pytest $(LOOP) tests/compose/test_airflow.py tests/contracts/test_stream.py tests/compose/test_alerts.py \
		tests/compose/test_rules.py tests/contracts/test_compose.py tests/contracts/test_feature_store.py \
		tests/contracts/test_registry.py \
		-n 3 --dist loadfile --no-loadscope-reorder -rs -k "kafka or not test_stream"

# The tests of the stack run alone: loads and drills measure speed.
compose-stack: engine env-dev
	$(BIN)/pytest tests/compose/test_stack.py -rs

engine:
	@command -v docker >/dev/null 2>&1 || { echo "Docker is not installed: https://docs.docker.com/get-docker; 'make up' needs none" >&2; exit 1; }
	@docker info >/dev/null 2>&1 || { echo "no Docker engine answers: start Docker Desktop, or: sudo systemctl start docker" >&2; exit 1; }
	@docker compose version >/dev/null 2>&1 || { echo "docker has no compose command: install Compose v2 (Debian: docker-compose-plugin)" >&2; exit 1; }

bench: env ## the figures of the README, measured here
	$(BIN)/lab bench $(or $(DESIGN),feed_ranking)

evaluate: env ## quality against the log and the oracle
	$(BIN)/lab evaluate $(or $(DESIGN),feed_ranking) --preset $(PRESET)

dashboards: env-dev ## write Grafana's dashboards anew from scripts/dashboards
	$(BIN)/python -m scripts.dashboards

rules: env-dev ## write the alert rules of Prometheus anew from the budgets of the designs
	$(BIN)/python -m scripts.alert_rules

COMPILE := pip compile --quiet --universal --fork-strategy fewest --python-version 3.11 --generate-hashes \
	--no-annotate --no-emit-index-url --custom-compile-command "make lock"

lock: env ## compile requirements/*.txt anew from pyproject.toml
	$(UV) $(COMPILE) --extra training pyproject.toml -o requirements/lab.txt
	$(UV) $(COMPILE) -c requirements/lab.txt pyproject.toml -o requirements/serving.txt
	$(UV) $(COMPILE) --extra training --extra dev -c requirements/lab.txt pyproject.toml -o requirements/dev.txt
	echo uv | $(UV) $(COMPILE) -c requirements/lab.txt - -o requirements/uv.txt
	$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["routing"])' \
		| $(UV) $(COMPILE) -c requirements/lab.txt - -o requirements/routing.txt
	$(UV) $(COMPILE) requirements/airflow.in -o requirements/airflow.txt

clean: ## remove data and caches, keep the environment
	rm -rf var .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache .grimp_cache
