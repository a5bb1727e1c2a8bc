# make book · make lab · make progress · make test · make site · make bench · make shake CHAPTER=01_mlp · make mutate MODULE=networks.mlp · make new CHAPTER=03_behavior/01_events · make student FOLDER=… · make instructor FOLDER=… · make grade FOLDER=… · make clean
.PHONY: book lab progress test site bench shake mutate new student instructor grade export lock lint clean
SHELL := /bin/bash
PYTHON ?= python3
# requirements.lock installs on these, from 3.11.2 (Debian 12) on, and .github/workflows/test.yml tests them
PYTHONS := 3.11 3.12 3.13
PORT ?= 8888
BIN := .venv/bin
# two notebooks run side by side, so each gets one thread
export OMP_NUM_THREADS ?= 1
export MKL_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1
export PYTHONHASHSEED ?= 0
NOTEBOOKS := $(shell find nbs -name '*.ipynb' -not -path '*/.ipynb_checkpoints/*')

book: .venv/.exported
	@$(BIN)/python -c "import sys; from engagement_book.workbench.build import make_book; sys.exit(make_book('$(CHAPTER)', '$(CHAPTERS)'))"

# PORT=8890 for another port, LAB='…' for options of JupyterLab, REST=no to leave the rest of the book unbuilt
lab: .venv/.exported
	@$(BIN)/python -c "import sys; from engagement_book.workbench.lab import open_lab; sys.exit(open_lab(int(sys.argv[1]), sys.argv[2], sys.argv[3] != 'no'))" '$(PORT)' '$(LAB)' '$(REST)'

progress: .venv/.exported
	@$(BIN)/python -c "import sys; from engagement_book.workbench.start import make_progress; sys.exit(make_progress())"

test: .venv/.exported
	$(BIN)/pytest

site: book

bench: .venv/.exported
	$(BIN)/python tests/bench.py

# a chapter (or all) under other processors, threads and seeds; KEEP=1 puts its rows into data/shake.csv
shake: .venv/.exported
	@$(BIN)/python -c "import sys; from engagement_book.workbench.shake import shake; sys.exit(bool(shake('$(CHAPTER)', conditions=int('$(CONDITIONS)' or 0), keep=bool('$(KEEP)'))))"

# mistakes planted in the chapters' code: does a check see them? Rates go to data/mutants.csv; all chapters take an hour
N ?= 24
SEED ?= 0
JOBS ?= 1
mutate: .venv/.exported
	$(BIN)/python tests/mutate.py $(MODULE) -n $(N) --seed $(SEED) --jobs $(JOBS)

new: .venv/.installed
	@$(BIN)/python -c "import sys; from engagement_book.workbench.template import make_new; sys.exit(make_new(sys.argv[1]))" '$(CHAPTER)'

# for a class: lessons without their solutions, with them (CHAPTERS= selects, as in make book), and what comes back (CSV= names the table)
student instructor: .venv/.exported
	@$(BIN)/python -c "import sys; from engagement_book.workbench.classroom import make_copies; sys.exit(make_copies(*sys.argv[1:3], solutions=sys.argv[3] == 'instructor'))" '$(FOLDER)' '$(CHAPTERS)' $@

grade: .venv/.exported
	@$(BIN)/python -c "import sys; from engagement_book.workbench.grade import make_grade; sys.exit(make_grade(*sys.argv[1:]))" '$(FOLDER)' '$(CHAPTERS)' '$(CSV)'

export: .venv/.exported

lint: .venv/.installed
	$(BIN)/ruff check .

# exact versions for requirements.lock; the CPU build's local version is not installable elsewhere, so it is cut off
lock: .venv/.installed
	$(BIN)/pip-compile --quiet --extra=lab --extra=site --extra=bench --extra=dev --strip-extras --allow-unsafe --no-header --no-annotate --no-emit-find-links --no-emit-index-url --output-file=requirements.lock setup.py
	sed -i 's/+cpu//' requirements.lock

# rebuilt from nothing when an earlier installation was interrupted: the marker is written last
.venv/.installed: requirements.lock setup.py settings.ini
	@$(PYTHON) -c "import sys; v = '%d.%d' % sys.version_info[:2]; sys.exit(None if v in '$(PYTHONS)'.split() else 'this book is tested on Python $(PYTHONS); $(PYTHON) is ' + v + '. Name one of these: make PYTHON=python3.11 ...')"
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
