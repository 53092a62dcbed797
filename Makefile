# The front door. `make help` lists what there is; every target sets up what it needs by itself.
SHELL := /bin/bash
.DEFAULT_GOAL := help

VENV := .venv
PYTHON := $(VENV)/bin/python
UV := $(VENV)/bin/uv
UV_VERSION := 0.13.9
LOCK := requirements.lock
# Two stamps: what predicting needs, and everything. Each is renewed when the lock changes.
CORE := $(VENV)/.core
FULL := $(VENV)/.full

# What a user may set: make vinted-predict DATA=folder OUT=file MODEL=folder
arg = $(if $($(1)),--$(2) "$($(1))")

.PHONY: help setup lock lint test test-fast bench notebooks clean
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-16s %s\n", $$1, $$2}'

$(UV):
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: Python 3.11 or newer is needed, python3 is $$(python3 --version)" >&2; exit 2; }
	@python3 -m venv $(VENV) || \
		{ echo "error: python3 cannot make a virtual environment; on Debian: apt install python3-venv" >&2; exit 2; }
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

$(CORE): $(LOCK) pyproject.toml | $(UV)
	@echo "setting up: what predicting needs" >&2
	@$(UV) pip install --quiet --python $(PYTHON) --constraint $(LOCK) --editable .
	@touch $@

$(FULL): $(LOCK) pyproject.toml | $(UV)
	@echo "setting up: everything (about 7 GB, of which torch brings most)" >&2
	@$(UV) pip install --quiet --python $(PYTHON) --constraint $(LOCK) --editable '.[all]'
	@touch $(CORE) $@

setup: $(FULL) ## install everything into .venv
lock: | $(UV) ## renew requirements.lock with the newest versions that pyproject.toml allows
	$(UV) pip compile pyproject.toml --all-extras --universal --upgrade --quiet --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links --output-file $(LOCK)

lint: $(FULL) ## format check, lint, types and import arrows
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

test: $(FULL) ## set up everything, lint, and run all tests
	@$(MAKE) --no-print-directory lint
	$(VENV)/bin/pytest

test-fast: $(FULL) ## the tests without the slow end-to-end ones
	$(VENV)/bin/pytest -m "not slow"

bench: $(FULL) ## run every benchmark and write its JSON
	@for script in benchmarks/*.py; do echo "== $$script"; $(PYTHON) $$script || exit 1; done

notebooks: $(FULL) ## execute every notebook top to bottom, in place
	$(PYTHON) notebooks/execute.py notebooks/*.ipynb

clean: ## remove the environment and everything generated
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .import_linter_cache *.egg-info predictions.*

# ---- vinted
.PHONY: vinted-predict vinted-data vinted-train vinted-evaluate
vinted-predict: $(CORE) ## photos -> predictions.parquet (DATA=folder or zip, OUT=file, MODEL=folder)
	$(PYTHON) -m challenges.vinted predict $(call arg,DATA,data) $(call arg,OUT,out) $(call arg,MODEL,model)

vinted-data: $(CORE) ## get a data set (SOURCE=official|open|patterns|sample, FROM_DIR=copy on disk, OUT=folder)
	$(PYTHON) -m challenges.vinted data $(call arg,SOURCE,source) $(call arg,FROM_DIR,from-dir) $(call arg,OUT,out)

vinted-train: $(FULL) ## train, calibrate, export (DATA=folder, PATTERNS=folder, OUT=folder)
	$(PYTHON) -m challenges.vinted train $(call arg,DATA,data) $(call arg,PATTERNS,patterns) $(call arg,OUT,out)

vinted-evaluate: $(FULL) ## metrics and figures of a model on labelled photos (DATA=folder, OUT=folder, MODEL=folder)
	$(PYTHON) -m challenges.vinted evaluate $(call arg,DATA,data) $(call arg,OUT,out) $(call arg,MODEL,model)
