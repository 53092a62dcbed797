# The front door. `make help` lists what there is; every target sets up what it needs by itself.
SHELL := /bin/bash
.DEFAULT_GOAL := help

VENV := .venv
PYTHON := $(VENV)/bin/python
UV := $(VENV)/bin/uv
UV_VERSION := 0.13.9
MUTMUT_VERSION := 3.8.1
LOCK := requirements.lock
# Stamps of what is installed, by what needs it: predicting, an extra of pyproject.toml, all. A new lock renews them.
CORE := $(VENV)/.core
SERVE := $(VENV)/.extra-serve
ENERGY := $(VENV)/.extra-energy
SMURFS := $(VENV)/.extra-smurfs
TEXT := $(VENV)/.extra-text
AVALANCHE := $(VENV)/.extra-avalanche
DASHBOARD := $(VENV)/.extra-dashboard
DISTRIBUTED := $(VENV)/.extra-distributed
FULL := $(VENV)/.full

# What a user may set: make vinted-predict DATA=folder OUT=file MODEL=folder
arg = $(if $(value $(1)),--$(2) $(call quoted,$(1)))
# As it was typed: a shell would read the " ` and $ of a path, and make the $.
quoted = '$(subst ','\'',$(value $(1)))'

# glibc hands large tensors back to the kernel and asks for them again at every layer. Keeping them, in huge pages,
# makes a training step on a CPU 1.3 times as fast (benchmarks/vinted_train.json).
KEEP_MEMORY := MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=8589934592 GLIBC_TUNABLES=glibc.malloc.hugetlb=1

# Many containers forbid Python to keep what it has compiled: every process then compiles torch anew.
unexport PYTHONDONTWRITEBYTECODE

# Files of tests run side by side, in at most four processes: some start servers, browsers and clusters of their own.
SIDE_BY_SIDE := --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.PHONY: help setup lock audit lint test test-fast coverage mutants bench notebooks demo pictures doctor clean
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-24s %s\n", $$1, $$2}'

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

$(VENV)/.extra-%: $(LOCK) pyproject.toml | $(UV)
	@echo "setting up: what '$*' needs" >&2
	@$(UV) pip install --quiet --python $(PYTHON) --constraint $(LOCK) --editable '.[$*]'
	@touch $(CORE) $@

$(FULL): $(LOCK) pyproject.toml | $(UV)
	@echo "setting up: everything (about 8 GB, of which torch brings most)" >&2
	@$(UV) pip install --quiet --python $(PYTHON) --constraint $(LOCK) --editable '.[all]'
	@touch $(CORE) $(SERVE) $(ENERGY) $(SMURFS) $(TEXT) $(AVALANCHE) $(DASHBOARD) $(DISTRIBUTED) $@

setup: $(FULL) ## install everything into .venv
lock: | $(UV) ## renew requirements.lock with the newest versions that pyproject.toml allows
	$(UV) pip compile pyproject.toml --all-extras --universal --upgrade --quiet --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links --output-file $(LOCK)

audit: $(FULL) ## licences of everything installed, and its known vulnerabilities if their database can be reached
	$(UV) tool run -q pip-licenses --python=$(PYTHON) --from=mixed --order=license
	-$(UV) tool run -q pip-audit --requirement $(LOCK) --no-deps --disable-pip

lint: $(FULL) ## format check, lint, types and import rules
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

test: $(FULL) ## set up everything, lint, and run all tests
	@$(MAKE) --no-print-directory lint
	$(VENV)/bin/pytest $(SIDE_BY_SIDE)

test-fast: $(FULL) ## the tests without the slow end-to-end ones
	$(VENV)/bin/pytest $(SIDE_BY_SIDE) -m "not slow"

coverage: $(FULL) ## all tests, and how much of common and of each challenge they run, by lines and branches
	$(VENV)/bin/pytest $(SIDE_BY_SIDE) --cov --cov-report=
	@for package in common challenges/*/__init__.py; do folder=$${package%/__init__.py}; printf '%-28s' $$folder; \
		$(VENV)/bin/coverage report --include="$$folder/*" --format=total; done

mutants: $(FULL) ## change metrics and readers a little, thousands of times, and list the changes that no test notices
	$(UV) pip install --quiet --python $(PYTHON) mutmut==$(MUTMUT_VERSION)
	$(PYTHON) -m mutmut run
	$(PYTHON) -m mutmut results

bench: $(FULL) ## run every benchmark and write its JSON; where that is of real data, figures of a sample are only printed
	@for script in benchmarks/*.py; do echo "== $$script"; $(PYTHON) $$script || exit 1; done

notebooks: $(FULL) ## execute every notebook top to bottom, in place
	$(PYTHON) notebooks/execute.py notebooks/*.ipynb

demo: $(TEXT) $(SMURFS) $(ENERGY) $(AVALANCHE) $(SERVE) ## try every challenge in a browser (HOST=address, PORT=number, PAPERS=file)
	@exec $(PYTHON) -m challenges.demo serve $(call arg,HOST,host) $(call arg,PORT,port) $(call arg,PAPERS,papers)

pictures: $(FULL) ## renew the pictures of README.md from the demo, in chromium
	$(PYTHON) docs/pictures.py

doctor: $(CORE) ## what is installed, which weights and data are here, what each challenge can do now
	@$(PYTHON) -m challenges.doctor

clean: ## remove the environment, caches and predictions.*; data and runs stay
	rm -rf $(VENV) mutants htmlcov .coverage* .pytest_cache .ruff_cache .mypy_cache .import_linter_cache *.egg-info predictions.*

# ---- vinted
.PHONY: vinted-predict vinted-data vinted-train vinted-evaluate vinted-compare vinted-serve
vinted-predict: $(if $(filter ray,$(ENGINE)),$(DISTRIBUTED),$(CORE)) ## photos -> predictions.parquet (DATA=folder or zip, OUT=file, MODEL=folder, ENGINE=ray)
	$(PYTHON) -m challenges.vinted predict $(call arg,DATA,data) $(call arg,OUT,out) $(call arg,MODEL,model) \
		$(call arg,ENGINE,engine)

vinted-data: $(CORE) ## get a data set (SOURCE=official|open|patterns|sample, FROM_DIR=copy on disk, OUT=folder)
	$(PYTHON) -m challenges.vinted data $(call arg,SOURCE,source) $(call arg,FROM_DIR,from-dir) $(call arg,OUT,out)

vinted-train: $(FULL) ## train, calibrate, export (DATA=folder, PATTERNS=folder, OUT=folder, RUNS=folder, ONLY=part)
	$(KEEP_MEMORY) $(PYTHON) -m challenges.vinted train $(call arg,DATA,data) $(call arg,PATTERNS,patterns) \
		$(call arg,OUT,out) $(call arg,RUNS,runs) $(call arg,ONLY,only)

vinted-evaluate: $(FULL) ## metrics and figures of a model on labelled photos (DATA=folder, OUT=folder, MODEL=folder)
	$(PYTHON) -m challenges.vinted evaluate $(call arg,DATA,data) $(call arg,OUT,out) $(call arg,MODEL,model)

vinted-compare: $(FULL) ## the model against simpler ones on the same folds (DATA=folder, PATTERNS=folder, OUT=file, RUNS=folder)
	$(KEEP_MEMORY) $(PYTHON) -m challenges.vinted compare $(call arg,DATA,data) $(call arg,PATTERNS,patterns) \
		$(call arg,OUT,out) $(call arg,RUNS,runs)

vinted-serve: $(SERVE) ## answer over HTTP, with a page to try it on (HOST=address, PORT=number, MODEL=folder)
	@exec $(PYTHON) -m challenges.vinted serve $(call arg,HOST,host) $(call arg,PORT,port) $(call arg,MODEL,model)

# ---- radix_energy
.PHONY: energy-cluster energy-assign energy-evaluate energy-serve
energy-cluster: $(ENERGY) $(if $(filter ray,$(ENGINE)),$(DISTRIBUTED)) ## hourly readings -> household types, with a report (DATA=file, OUT=folder, TYPES=number, ENGINE=ray)
	$(PYTHON) -m challenges.radix_energy cluster $(call arg,DATA,data) $(call arg,OUT,out) $(call arg,TYPES,types) \
		$(call arg,ENGINE,engine)

energy-assign: $(ENERGY) $(if $(filter ray,$(ENGINE)),$(DISTRIBUTED)) ## new households -> types found before (DATA=file, OUT=file, MODEL=folder of energy-cluster, ENGINE=ray)
	$(PYTHON) -m challenges.radix_energy assign $(call arg,DATA,data) $(call arg,OUT,out) $(call arg,MODEL,model) \
		$(call arg,ENGINE,engine)

energy-evaluate: $(ENERGY) ## the method on households of known type, beside simpler ones (DATA=file, OUT=file)
	$(PYTHON) -m challenges.radix_energy evaluate $(call arg,DATA,data) $(call arg,OUT,out)

energy-serve: $(ENERGY) $(SERVE) ## answer over HTTP, with a page to try it on (HOST=address, PORT=number)
	@exec $(PYTHON) -m challenges.radix_energy serve $(call arg,HOST,host) $(call arg,PORT,port)

# ---- radix_smurfs
.PHONY: smurfs-segment smurfs-predict smurfs-classify smurfs-review smurfs-train smurfs-train-classifier
.PHONY: smurfs-evaluate smurfs-compare smurfs-serve
smurfs-segment: $(SMURFS) ## video -> outlined and named Smurfs, with a table of them (DATA=video, OUT=folder, MODEL=folder, CLASSIFIER=folder)
	$(PYTHON) -m challenges.radix_smurfs segment $(call arg,DATA,video) $(call arg,OUT,out) $(call arg,MODEL,model) \
		$(call arg,CLASSIFIER,classifier)

smurfs-predict: $(SMURFS) ## images -> Smurfs with masks and names, as COCO results (DATA=folder or zip, OUT=file, MODEL=folder, CLASSIFIER=folder)
	$(PYTHON) -m challenges.radix_smurfs predict $(call arg,DATA,images) $(call arg,OUT,out) $(call arg,MODEL,model) \
		$(call arg,CLASSIFIER,classifier)

smurfs-classify: $(SMURFS) ## names for the masks of a data set (DATA=zip or folder, OUT=file, CLASSIFIER=folder)
	$(PYTHON) -m challenges.radix_smurfs classify $(call arg,DATA,data) $(call arg,OUT,out) $(call arg,CLASSIFIER,classifier)

smurfs-review: $(SMURFS) ## a page to confirm or correct weak labels on (DATA=zip or folder, LABELS=file, PORT=number)
	@exec $(PYTHON) -m challenges.radix_smurfs review $(call arg,DATA,data) $(call arg,LABELS,labels) $(call arg,PORT,port)

smurfs-train: $(FULL) ## train, cross-validate and quantise the segmenter (DATA=zip, OUT=folder, RUNS=folder, ONLY=part)
	$(KEEP_MEMORY) $(PYTHON) -m challenges.radix_smurfs train $(call arg,DATA,data) $(call arg,OUT,out) \
		$(call arg,RUNS,runs) $(call arg,ONLY,only)

smurfs-train-classifier: $(FULL) ## weak and reviewed labels -> classifier, measured (DATA=zip, LABELS=file, OUT=folder)
	$(PYTHON) -m challenges.radix_smurfs train-classifier $(call arg,DATA,data) $(call arg,LABELS,labels) \
		$(call arg,OUT,out)

smurfs-evaluate: $(FULL) ## mask AP of the segmenter with intervals and figures (DATA=zip, OUT=folder, MODEL=folder)
	$(PYTHON) -m challenges.radix_smurfs evaluate $(call arg,DATA,data) $(call arg,OUT,out) $(call arg,MODEL,model)

smurfs-compare: $(FULL) ## the segmenter beside two other networks on one fold (DATA=zip, OUT=file, RUNS=folder)
	$(KEEP_MEMORY) $(PYTHON) -m challenges.radix_smurfs compare $(call arg,DATA,data) $(call arg,OUT,out) \
		$(call arg,RUNS,runs)

smurfs-serve: $(SMURFS) $(SERVE) ## answer over HTTP, with a page to try it on (HOST=address, PORT=number, MODEL=folder, CLASSIFIER=folder)
	@exec $(PYTHON) -m challenges.radix_smurfs serve $(call arg,HOST,host) $(call arg,PORT,port) $(call arg,MODEL,model) \
		$(call arg,CLASSIFIER,classifier)

# ---- radix_neurips
.PHONY: neurips-search neurips-batch neurips-index neurips-train neurips-evaluate neurips-serve
neurips-search: $(TEXT) ## an abstract -> ten similar papers with reasons (ABSTRACT=file, DATA=file or INDEX=folder, K=number, MODEL=folder)
	@$(PYTHON) -m challenges.radix_neurips search $(call arg,DATA,data) $(call arg,INDEX,index) \
		$(call arg,MODEL,model) $(call arg,K,k) $(if $(value ABSTRACT),-- $(call quoted,ABSTRACT))

neurips-batch: $(TEXT) ## the papers most similar to each of many (DATA=file, QUERIES=file, OUT=file, K=number, MODEL=folder)
	$(PYTHON) -m challenges.radix_neurips batch $(call arg,DATA,corpus) $(call arg,QUERIES,queries) \
		$(call arg,OUT,out) $(call arg,K,k) $(call arg,MODEL,model)

neurips-index: $(TEXT) $(if $(filter ray,$(ENGINE)),$(DISTRIBUTED)) ## encode papers once, for a quick start (DATA=file, OUT=folder, MODEL=folder, ENGINE=ray)
	$(PYTHON) -m challenges.radix_neurips index $(call arg,DATA,data) $(call arg,OUT,out) $(call arg,MODEL,model) \
		$(call arg,ENGINE,engine)

neurips-train: $(FULL) ## adapt encoder and term weights to a field (DATA=file, KEYWORDS=file, CANON=file, HELD_OUT=year, OUT=folder)
	$(PYTHON) -m challenges.radix_neurips train $(call arg,DATA,data) $(call arg,KEYWORDS,keywords) \
		$(call arg,CANON,canon) $(call arg,HELD_OUT,held-out) $(call arg,OUT,out)

neurips-evaluate: $(FULL) ## the ranker beside simpler ones (DATA=file, KEYWORDS=file, CANON=file, OUT=file, MODEL=folder)
	$(PYTHON) -m challenges.radix_neurips evaluate $(call arg,DATA,data) $(call arg,KEYWORDS,keywords) \
		$(call arg,CANON,canon) $(call arg,OUT,out) $(call arg,MODEL,model)

neurips-serve: $(TEXT) $(SERVE) ## answer over HTTP, with a page to try it on (DATA=file or INDEX=folder, HOST=address, PORT=number, MODEL=folder)
	@exec $(PYTHON) -m challenges.radix_neurips serve $(call arg,DATA,data) $(call arg,INDEX,index) \
		$(call arg,MODEL,model) $(call arg,HOST,host) $(call arg,PORT,port)

# ---- radix_movies
.PHONY: movies-predict movies-train movies-evaluate movies-compare movies-serve
movies-predict: $(TEXT) $(if $(filter ray,$(ENGINE)),$(DISTRIBUTED)) ## synopses and posters -> five ranked genres a film (DATA=folder, OUT=file, MODEL=folder, ENGINE=ray)
	$(PYTHON) -m challenges.radix_movies predict $(call arg,DATA,data) $(call arg,OUT,out) $(call arg,MODEL,model) \
		$(call arg,ENGINE,engine)

movies-train: $(FULL) ## fit on labelled films (DATA=folder, OUT=folder, RUNS=folder)
	$(PYTHON) -m challenges.radix_movies train $(call arg,DATA,data) $(call arg,OUT,out) $(call arg,RUNS,runs)

movies-evaluate: $(FULL) ## metrics of a model on labelled films (DATA=folder, OUT=folder, MODEL=folder)
	$(PYTHON) -m challenges.radix_movies evaluate $(call arg,DATA,data) $(call arg,OUT,out) $(call arg,MODEL,model)

movies-compare: $(FULL) ## cross-validate every method on the same folds (DATA=folder, OUT=file, RUNS=folder, FINE_TUNE=folds)
	$(PYTHON) -m challenges.radix_movies compare $(call arg,DATA,data) $(call arg,OUT,out) $(call arg,RUNS,runs) \
		$(call arg,FINE_TUNE,fine-tune)

movies-serve: $(TEXT) $(SERVE) ## answer over HTTP, with a page to try it on (HOST=address, PORT=number, MODEL=folder)
	@exec $(PYTHON) -m challenges.radix_movies serve $(call arg,HOST,host) $(call arg,PORT,port) $(call arg,MODEL,model)

# ---- avalanche
.PHONY: avalanche-discover avalanche-dashboard avalanche-evaluate avalanche-serve
avalanche-discover: $(AVALANCHE) $(if $(filter ray,$(ENGINE)),$(DISTRIBUTED)) ## open answers -> themes, to read and as a table (DATA=file, COLUMN=field=name, OUT=folder, MODEL=folder, ENGINE=ray)
	$(PYTHON) -m challenges.avalanche discover $(call arg,DATA,data) $(call arg,COLUMN,column) $(call arg,OUT,out) \
		$(call arg,MODEL,model) $(call arg,ENGINE,engine)

avalanche-dashboard: $(DASHBOARD) ## coding for analysts and findings for clients, in a browser (DATA=file, COLUMN=field=name, PORT=number, DATABASE_URL=database)
	@exec $(PYTHON) -m challenges.avalanche dashboard $(call arg,DATA,data) $(call arg,COLUMN,column) $(call arg,PORT,port)

avalanche-evaluate: $(FULL) ## themes found against themes coded, beside other methods (DATA=file, COLUMN=field=name, OUT=file)
	$(PYTHON) -m challenges.avalanche evaluate $(call arg,DATA,data) $(call arg,COLUMN,column) $(call arg,OUT,out)

avalanche-serve: $(AVALANCHE) $(SERVE) ## answer over HTTP, with a page to try it on (HOST=address, PORT=number)
	@exec $(PYTHON) -m challenges.avalanche serve $(call arg,HOST,host) $(call arg,PORT,port)
