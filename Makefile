# What a person or CI does here; `make help` lists it.

SHELL := /bin/bash
BIN := .venv/bin
EXPERIMENT ?= fashion_mnist_gim
MINUTES ?= 20
SECONDS ?= 60
SEED ?= 0
GOLDENS ?= ../shared/goldens
IMAGE ?= gim:$(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' gim_tf/__init__.py)
# TensorFlow's notes about CUDA and CPU features are no test result.
export TF_CPP_MIN_LOG_LEVEL ?= 3

.NOTPARALLEL:
.DEFAULT_GOAL := help
.PHONY: help run test setup format format-check lint imports types bazel unit \
	integration-test golden-test fault-test test-faults fuzz soak \
	pipeline-test fidelity image clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | \
		sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | expand -t 16

run: setup ## train, probe, export and report: EXPERIMENT=fashion_mnist_gim
	@$(BIN)/gim run --experiment $(EXPERIMENT) --output-dir outputs/$(EXPERIMENT)

# Cheapest first.
test: format-check lint imports types bazel unit integration-test golden-test \
	fault-test pipeline-test ## all checks and tests

setup: ## make .venv with Python 3.10 and the pinned packages, once
	@PYTHON="$(PYTHON)" tools/setup.sh

format: setup ## rewrite the code in the project's format
	@$(BIN)/ruff check --quiet --select I --fix .
	@$(BIN)/ruff format .

format-check: setup
	@echo "== format: ruff"
	@$(BIN)/ruff format --check --quiet --diff .

lint: setup ## ruff's rules
	@echo "== lint: ruff"
	@$(BIN)/ruff check --quiet .

imports: setup ## the direction of imports
	@echo "== imports: import-linter"
	@$(BIN)/lint-imports --no-cache >.venv/imports.log 2>&1 || \
		{ cat .venv/imports.log; exit 1; }

types: setup ## type hints
	@echo "== types: mypy"
	@$(BIN)/mypy --no-error-summary

# Bazel runs the python3 that is first on PATH.
bazel: setup ## build and test the layers with Bazel, where there is one
	@if command -v bazel >/dev/null; then \
		echo "== layers: bazel"; \
		PATH="$(CURDIR)/$(BIN):$$PATH" bazel test //... ; \
	else \
		echo "== layers: skipped, no bazel (Debian: bazel-bootstrap)"; \
	fi

unit: setup ## tests without TFX
	@echo "== unit tests: pytest"
	@$(BIN)/pytest -q -n 2 --dist loadscope -m \
		"not integration and not pipeline and not faults and not goldens and not slow"

integration-test: setup ## tests that train, export and probe small networks
	@echo "== integration tests: pytest"
	@$(BIN)/pytest -q -n 2 --dist loadfile -m "integration and not slow"

golden-test: setup ## goldens of the authors' code, but the three slowest
	@echo "== golden tests: pytest"
	@$(BIN)/pytest -q -n 2 -m "goldens and not slow" tests/test_goldens.py

fault-test: setup ## tests that kill processes and fill disks
	@echo "== fault tests: pytest"
	@$(BIN)/pytest -q -n 2 -m "faults and not slow" --dist loadfile \
		tests/test_faults.py tests/test_decoupled_faults.py \
		tests/test_replicas.py tests/pipelines/test_trainer_module.py

test-faults: setup ## all tests of docs/reliability.md, as one table: ONLY="T1 D7"
	@$(BIN)/python tools/fault_table.py $(if $(ONLY),--only $(ONLY))

fuzz: setup ## damaged files to every reader, and many examples of properties: SECONDS=60
	@$(BIN)/python tools/fuzz.py --seconds $(SECONDS) --seed $(SEED)
	@$(BIN)/pytest -q tests/test_properties.py --hypothesis-profile=many

soak: setup ## a small pipeline in a loop under random faults: MINUTES=20 [SEED=0]
	@$(BIN)/python tools/soak.py --minutes $(MINUTES) --seed $(SEED)

pipeline-test: setup ## tests that run TFX pipelines
	@echo "== pipeline tests: pytest"
	@$(BIN)/pytest -q -n 2 --dist loadfile -m "pipeline and not slow"

fidelity: setup ## write docs/fidelity.md again: GOLDENS=../shared/goldens
	@$(BIN)/python tools/make_fidelity.py $(GOLDENS)

image: ## the pipeline's container: PYTHON_DIGEST=sha256:... [CUDA=1] [IMAGE=name:tag]
	@command -v docker >/dev/null || \
		{ echo "image: no docker here; cloudbuild.yaml builds it elsewhere" >&2; \
		exit 1; }
	@[[ "$(PYTHON_DIGEST)" == sha256:* ]] || \
		{ echo "image: PYTHON_DIGEST=sha256:... is needed; find it by: docker" \
		"pull python:3.10-slim-bookworm && docker inspect --format" \
		"'{{index .RepoDigests 0}}' python:3.10-slim-bookworm" >&2; exit 1; }
	docker build --build-arg PYTHON_DIGEST=$(PYTHON_DIGEST) \
		--build-arg CUDA=$(CUDA) --tag $(IMAGE) .

clean: ## remove .venv and what tools leave behind; outputs/ stays
	rm -rf .venv .uv .mypy_cache .ruff_cache .pytest_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
