# make             set up .venv, then the whole chain on embedded data (minutes, no network)
# make help        these lines
# make setup       .venv alone, with the versions of requirements.lock
#
# Runs
# make paper       the paper's experiments, e.g. make paper STUDIES="simulation mouse" MIRROR=/path/to/files
# make figures     the paper's figures
# make report      the report of a run, e.g. make report NAME=paper
# make archive     a finished run as one .zip with RO-Crate metadata, e.g. make archive NAME=paper
# make checksums   fetch files whose checksum is not known yet, and write it into config/datasets.tsv
# make clean       remove results, not downloads
# make distclean   remove results, downloads and .venv
# Your own data:   .venv/bin/bcnmf-pipeline new --help
#
# Checks
# make test        most tests, in minutes
# make test-long   the long ones: runs that are cut off, published studies from files to figures, benchmarks
# make test-all    both
# make test-pythons the unit tests on every other Python that is here, each in an environment of its own
# make test-slurm  the pipeline on a real Slurm of one node
# make test-conda  the pipeline in conda environments, solved and installed from a channel of what .venv holds
# make test-site   every page of the site in a browser: accessibility, nothing too wide
# make torture     runs that are cut off in many ways
# make bench       speed and memory against other programs, see docs/benchmarks.md
# make lint        style, types, import contracts, links and spelling of the pages
#
# Work on it
# make docs        these pages as a site that opens from the disk: docs/_build/html/index.html
# make format      apply what of style can be applied
# make lock        requirements.lock anew, e.g. after a new name in requirements.in
#
# CORES=4 at a time, all if not said; QUIET= shows every job; PYTHON=/path/to/python3, TORCH="torch==..." for the set-up.
# What fails ends with a code other than 0. The same command goes on where it stopped.

SHELL := /bin/bash
.DELETE_ON_ERROR:
.DEFAULT_GOAL := quick
.PHONY: help quick setup test test-long test-all test-pythons test-slurm test-conda test-site torture archive paper figures report bench checksums docs lint format lock clean distclean

# The first of these that the lock is made for; another: make PYTHON=/path/to/python3
PYTHON ?= python3.13 python3.12 python3.11 python3
CORES ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu)
NAME ?= paper
# Test files at a time: most of a test is waiting for jobs that take a core each.
WORKERS ?= 2
# Which torch: left empty, the build for this machine (envs/setup.py), else pip's arguments for another:
#   make setup TORCH="torch==2.13.0 --index-url https://download.pytorch.org/whl/cu126"
TORCH ?=
export TORCH
# Caches of Snakemake, numba and pip. Without a home, or with one that cannot be written, they are in .cache here.
ifneq (writable,$(shell d="$${XDG_CACHE_HOME:-$${HOME:-/dev/null}/.cache}"; mkdir -p "$$d" 2>/dev/null && test -w "$$d" && echo writable))
export XDG_CACHE_HOME := $(CURDIR)/.cache
endif

BIN := .venv/bin
# Errors, and which job of how many is done; `make QUIET=` shows everything.
QUIET ?= --quiet rules reason host
# --cores last: --quiet takes every word up to the next option, targets included.
SNAKEMAKE := $(BIN)/python -m snakemake $(QUIET) --cores $(CORES)
CONFIG := $(if $(STUDIES),studies="$(STUDIES)") $(if $(MIRROR),mirror="$(MIRROR)")
WITH_CONFIG := $(if $(strip $(CONFIG)),--config $(CONFIG))

help:
	@sed -n '/^$$/q;s/^# \{0,1\}//p' $(MAKEFILE_LIST)

quick: setup
	@echo "Planning; then every job that is done is counted. What each is doing: results/quick/logs"
	$(SNAKEMAKE) quick $(WITH_CONFIG)
	@$(BIN)/python -m bcnmf_pipeline show results/quick

setup: .venv/.installed

# The stamp is written last, so an interrupted installation is taken up again.
.venv/.installed: requirements.lock requirements.in pyproject.toml envs/setup.py $(if $(TORCH),another-torch)
	@set -- $(PYTHON); for python; do shift; \
	  "$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null && exec "$$python" envs/setup.py "$$@"; \
	done; echo "No Python from 3.11 to 3.14 here (looked for: $(PYTHON)): install one, or name it: make PYTHON=/path/to/python3"; exit 1

# Not there, so always newer than what depends on it.
another-torch: ;

# requirements.lock anew from pyproject.toml and requirements.in. It is for every system and Python; torch is not in
# it, nor what its CUDA builds need, for everybody would download that.
CUDA_PACKAGES := cuda-bindings cuda-toolkit nvidia-cudnn-cu13 nvidia-cusparselt-cu13 nvidia-nccl-cu13 nvidia-nvshmem-cu13 triton
LOCK ?=
lock: setup
	$(BIN)/uv pip compile --quiet --universal --fork-strategy fewest --python-version 3.11 --generate-hashes --no-annotate --custom-compile-command "make lock" \
	  --no-emit-package torch --excludes <(printf '%s\n' $(CUDA_PACKAGES)) --extra pipeline $(LOCK) -o requirements.lock pyproject.toml requirements.in

paper: setup
	$(SNAKEMAKE) paper $(WITH_CONFIG)
	@$(BIN)/python -m bcnmf_pipeline show results/paper

figures: setup
	$(SNAKEMAKE) figures $(WITH_CONFIG)

report: setup
	$(SNAKEMAKE) results/$(NAME)/report.html $(WITH_CONFIG)
	@$(BIN)/python -m bcnmf_pipeline show results/$(NAME)

# Tables and plots in results/bench; `make bench BENCH=--quick` sees in a minute that all of it works.
BENCH ?=
bench: setup .venv/.bench
	$(BIN)/python benchmarks/speed.py --out results/bench $(BENCH)
	$(BIN)/python benchmarks/time_to_objective.py --out results/bench $(BENCH)
	$(BIN)/python benchmarks/against_mu.py --out results/bench $(BENCH)
	@echo "What is required of these numbers: $(BIN)/python benchmarks/check.py results/bench"

# A peer that cannot be installed here is left out: its row in the tables says why.
.venv/.bench: benchmarks/requirements.txt .venv/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r $< && touch $@ || \
	  echo "$< could not be installed; the benchmark goes on without it"

PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --no-loadscope-reorder

test: setup
	$(PYTEST) -m "not long"

test-long: setup
	$(PYTEST) -m long

test-all: test test-long

# Where torch is not to be had within ten minutes, a Python is left out, which is said. Logs of the set-ups: .venv-*.log
test-pythons: setup
	@here=$$($(BIN)/python -c 'import sys; print("python%d.%d" % sys.version_info[:2])'); \
	for python in python3.11 python3.12 python3.13; do \
	  [ $$python != $$here ] || continue; \
	  $$python -c '' 2>/dev/null || { echo "$$python: no unit tests, for it is not here"; continue; }; \
	  export BCNMF_VENV=.venv-$${python#python}; \
	  [ $$BCNMF_VENV/.installed -nt requirements.lock ] || timeout 600 $$python envs/setup.py >$$BCNMF_VENV.log 2>&1 || \
	    { echo "$$python: no unit tests, for it could not be set up within ten minutes: $$BCNMF_VENV.log"; continue; }; \
	  echo "Unit tests on $$python"; $$BCNMF_VENV/bin/python -m pytest -n $(WORKERS) -m "not long" tests/unit || exit 1; \
	done

# A Slurm of one node on this machine, root only; leaves nothing running.
SLURM_PACKAGES := slurm-wlm slurmdbd munge mariadb-server slurm-wlm-mysql-plugin
test-slurm: setup
	command -v slurmctld >/dev/null && command -v mariadbd >/dev/null || apt-get install -y --no-install-recommends $(SLURM_PACKAGES)
	$(BIN)/python -m pytest tests/slurm/check_slurm.py

# A conda on the PATH, else py-rattler, which is installed beside .venv's own packages. Where neither can be had the
# check is skipped with the reason.
test-conda: setup .venv/.conda
	$(BIN)/python -m pytest -rs -s tests/conda/check_conda.py

.venv/.conda: tests/conda/requirements.txt .venv/.installed
	rm -rf $@
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --target $@ -r $< && touch $@ || echo "$< could not be installed"

# Chromium, and axe-core out of a package that is installed without what else it needs.
test-site: docs .venv/.axe
	$(BIN)/python -m pytest -q tests/site/check_site.py

.venv/.axe: tests/site/requirements.txt .venv/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r $< && touch $@

torture: setup
	BCNMF_ROUNDS=20 $(BIN)/python -m pytest tests/integration/test_faults.py

# One .zip of a finished run for Zenodo and the like: code, configuration, tables, figures, report.
archive: setup
	$(BIN)/python -m bcnmf_pipeline archive results/$(NAME)

checksums: setup
	$(BIN)/python -m bcnmf_pipeline checksums $(if $(MIRROR),--mirror "$(MIRROR)")

# Nothing is fetched. A warning, such as a link that leads nowhere, is an error, and so is a cell that fails. Cells take
# minutes; they run again when they, or the code, are others.
SPHINX := $(BIN)/python -m sphinx -q -E -W --keep-going -c docs
docs: setup
	$(SPHINX) . docs/_build/html
	@echo docs/_build/html/index.html

# The pages are read, their links followed; no cell is run.
lint: setup
	$(BIN)/codespell --ignore-words-list coo,theis *.md docs/*.md docs/tutorials config/*.md results/README.md workflow
	$(SPHINX) -b dummy -D nb_execution_mode=off -D suppress_warnings=myst-nb.lexer,mystnb.glue . docs/_build/lint
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m snakefmt --check Snakefile workflow/rules
	$(BIN)/lint-imports
	$(BIN)/python -m mypy
	$(BIN)/python -m snakemake --lint

format: setup
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .
	$(BIN)/python -m snakefmt Snakefile workflow/rules

clean:
	find results/ -mindepth 1 -maxdepth 1 ! -name README.md -exec rm -rf {} +
	rm -rf logs

distclean: clean
	rm -rf docs/_build .venv .venv-3* .snakemake .cache
	find resources/ -mindepth 1 -maxdepth 1 ! -name README.md -exec rm -rf {} +
