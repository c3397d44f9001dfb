# The only door: every job of the project is a target here, and continuous integration calls nothing else.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SUITE ?= configs/suites/quick.yaml
DATA ?= $(MMREC_BENCH_DATA)
OUT ?= runs
# Processes that share the tests, and the cores; files of tests stay together, and so does what their tests share.
WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist loadscope
# faiss-gpu where an NVIDIA driver answers, faiss-cpu elsewhere; both share the import name `faiss`.
FAISS ?= $(shell nvidia-smi >/dev/null 2>&1 && echo gpu || echo cpu)
STAMP := $(VENV)/.installed-$(FAISS)

.DEFAULT_GOAL := help
.PHONY: help install bench test test-slow lint leaderboard format perf gpu-check browser clean verify-contributions

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

install: $(STAMP) ## Create the virtual environment with pinned dependencies

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 11) <= v < (3, 14) else f"mmrec-bench needs Python 3.11 to 3.13; {sys.executable} is {v[0]}.{v[1]}. Name another: make PYTHON=python3.12 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$(FAISS),distributed,energy,images,features,dev]'
	@touch $@

bench: install ## Run a suite (SUITE=..., DATA=..., OUT=...) and write its report; data that is not there is fetched
	$(BIN)/mmrec-bench bench "$(SUITE)" --fetch --out "$(OUT)" $(if $(DATA),--data-dir "$(DATA)") $(ARGS)

test: install ## Run the tests (slow ones left out) in WORKERS processes
	MMREC_BENCH_DATA="$(DATA)" $(PYTEST) $(ARGS)

test-slow: install ## Run the slow tests: trainings, wheel, kill and resume
	MMREC_BENCH_DATA="$(DATA)" $(PYTEST) -m slow $(ARGS)

lint: install ## Check style, types, layers, and that the leaderboard is up to date
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/mmrec-bench leaderboard build --check

verify-contributions: install ## Verify what a merge adds to the submissions (INCOMING=folder, BEFORE=folder)
	$(BIN)/mmrec-bench leaderboard verify --contributed "$(INCOMING)" $(if $(BEFORE),--submissions "$(BEFORE)") $(if $(DATA),--data-dir "$(DATA)")

leaderboard: install ## Make the leaderboard's table and site of what is verified
	$(BIN)/mmrec-bench leaderboard build

format: install ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

perf: install ## Measure speed and memory against the yardstick (DATA=...)
	$(BIN)/python -m tests.perf.measure $(if $(DATA),--data-dir "$(DATA)") $(ARGS)

gpu-check: install ## Run the CUDA paths and their timings, where there is a GPU
	$(BIN)/python -m tests.perf.gpu_check $(ARGS)

browser: ## Install Debian's Chromium, in which tests open pages; without it they are skipped
	command -v chromium >/dev/null || apt-get install --yes --quiet --no-install-recommends chromium

clean: ## Remove caches and builds; runs and the environment stay
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .benchmarks
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +
