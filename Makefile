# make book · make lab · make test · make site · make bench · make mutate MODULE=networks.mlp · make new CHAPTER=03_behavior/01_events · make clean
.PHONY: book lab test site bench mutate new export lock lint clean
SHELL := /bin/bash
PYTHON ?= python3
PORT ?= 8888
BIN := .venv/bin
# two notebooks run side by side, so each gets one thread
export OMP_NUM_THREADS ?= 1
export MKL_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1
export PYTHONHASHSEED ?= 0
NOTEBOOKS := $(shell find nbs -name '*.ipynb' -not -path '*/.ipynb_checkpoints/*')

book: .venv/.exported
	@$(BIN)/python -c "import sys; from engagement_book.workbench.build import make_book; sys.exit(make_book('$(CHAPTER)'))"

lab: .venv/.exported
	@test -d _build/executed || $(MAKE) --no-print-directory book
	@$(BIN)/python -c "from engagement_book.workbench.lab import prepare; prepare()"
	$(BIN)/jupyter lab --notebook-dir=work --LabApp.default_url=/lab/tree/index.ipynb --LabApp.extension_manager=readonly --LabServerApp.app_settings_dir=$(CURDIR)/nbs/_lab --port=$(PORT) $(LAB)

test: .venv/.exported
	$(BIN)/pytest

site: book

bench: .venv/.exported
	$(BIN)/python tests/bench.py

# mistakes planted in the chapters' code: does a check see them? Rates go to data/mutants.csv; all chapters take an hour
N ?= 24
SEED ?= 0
JOBS ?= 1
mutate: .venv/.exported
	$(BIN)/python tests/mutate.py $(MODULE) -n $(N) --seed $(SEED) --jobs $(JOBS)

new: .venv/.installed
	@$(BIN)/python -c "from engagement_book.workbench.lab import new_chapter; print(new_chapter('$(CHAPTER)'))"

export: .venv/.exported

lint: .venv/.installed
	$(BIN)/ruff check .

# exact versions for requirements.lock; the CPU build's local version is not installable elsewhere, so it is cut off
lock: .venv/.installed
	$(BIN)/pip-compile --quiet --extra=dev --strip-extras --allow-unsafe --no-header --no-annotate --no-emit-find-links --no-emit-index-url --output-file=requirements.lock setup.py
	sed -i 's/+cpu//' requirements.lock

# rebuilt from nothing when an earlier installation was interrupted: the marker is written last
.venv/.installed: requirements.lock setup.py settings.ini
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'this book needs Python 3.11 or newer: make PYTHON=python3.11 ...')"
	@test -f $@ || rm -rf .venv
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

.venv/.exported: .venv/.installed $(NOTEBOOKS)
	@$(BIN)/nbdev_export
	@touch $@

clean:
	rm -rf _build .pytask .pytest_cache .ruff_cache pytask.lock
