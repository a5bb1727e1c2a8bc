# make book · make lab · make progress · make desk · make test · make site · make pdf · make slides CHAPTER=01_mlp · make bench · make shake CHAPTER=01_mlp · make mutate MODULE=networks.mlp · make fonts · make new CHAPTER=03_behavior/01_events · make student FOLDER=… · make instructor FOLDER=… · make grade FOLDER=… · make clean
.PHONY: book lab progress desk test site pdf slides bench shake mutate fonts new student instructor grade export lock lint clean
SHELL := /bin/bash
PYTHON ?= python3
# requirements.lock installs on these, from 3.11.2 (Debian 12) on, and .github/workflows/test.yml tests them
PYTHONS := 3.11 3.12 3.13
PORT ?= 8888
BIN := .venv/bin
# one thread and one order of sets, as in a kernel; engine.environment has the one list, and what you have set yourself comes first
STEADY = env $$($(BIN)/python -c "from engagement_book.workbench.engine.environment import in_shell; print(in_shell())")
RUN = $(STEADY) $(BIN)/python
NOTEBOOKS := $(shell find nbs -name '*.ipynb' -not -path '*/.ipynb_checkpoints/*')

book: .venv/.exported
	@$(RUN) -c "import sys; from engagement_book.workbench.press.book import make_book; sys.exit(make_book('$(CHAPTER)', '$(CHAPTERS)'))"

# PORT=8890 for another port, LAB='…' for options of JupyterLab, REST=no to leave the rest of the book unbuilt
lab: .venv/.exported
	@$(RUN) -c "import sys; from engagement_book.workbench.desk.lab import open_lab; sys.exit(open_lab(int(sys.argv[1]), sys.argv[2], sys.argv[3] != 'no'))" '$(PORT)' '$(LAB)' '$(REST)'

progress: .venv/.exported
	@$(RUN) -c "import sys; from engagement_book.workbench.desk.start import make_progress; sys.exit(make_progress())"

# the service desk: a chat page and an agent's page on this computer; PORT=8900 for another port, WORKERS=2 for two
# processes, DESK_STORE=postgresql://user@host/database for conversations in a database (extra `postgres`)
desk: .venv/.exported
	@$(RUN) -c "import sys; from engagement_book.service.desk.start import main; sys.exit(main(['--port', sys.argv[1]]))" '$(if $(filter file,$(origin PORT)),8890,$(PORT))'

# the book first, on both cores; then its tests, two files side by side
test: .venv/.exported
	@-$(RUN) -c "import sys; from engagement_book.workbench.press.book import make_book; sys.exit(make_book())"
	$(STEADY) $(BIN)/pytest -n 2 --dist loadfile

# pages from what was run before; runs nothing
site: .venv/.exported
	@$(RUN) -c "import sys; from engagement_book.workbench.press.book import make_site_only; sys.exit(make_site_only('$(CHAPTERS)'))"

# the lessons as one PDF, printed from the pages of the site by Chromium; CHAPTERS= selects, as in make book
pdf: .venv/.exported
	@$(RUN) -c "import sys; from engagement_book.workbench.press.pdf import make_pdf; sys.exit(make_pdf(sys.argv[1]))" '$(CHAPTERS)'

# a lesson as slides: one file, from its page on the site
slides: .venv/.exported
	@$(RUN) -c "import sys; from engagement_book.workbench.press.slides import make_slides; sys.exit(make_slides(sys.argv[1]))" '$(CHAPTER)'

# ROWS='retention baskets' for some of them
bench: .venv/.exported
	$(RUN) tests/tools/bench.py $(ROWS)

# a chapter (or all) under other processors, threads and seeds; KEEP=1 puts its rows into data/shake.csv
shake: .venv/.exported
	@$(RUN) -c "import sys; from engagement_book.workbench.engine.shake import shake; sys.exit(bool(shake('$(CHAPTER)', conditions=int('$(CONDITIONS)' or 0), keep=bool('$(KEEP)'))))"

# mistakes planted in the chapters' code: does a check see them? Rates go to data/mutants.csv; all chapters take an hour
N ?= 24
SEED ?= 0
JOBS ?= 1
mutate: .venv/.exported
	$(RUN) tests/tools/mutate.py $(MODULE) -n $(N) --seed $(SEED) --jobs $(JOBS)

new: .venv/.installed
	@$(RUN) -c "import sys; from engagement_book.workbench.desk.template import make_new; sys.exit(make_new(sys.argv[1]))" '$(CHAPTER)'

# for a class: lessons without their solutions, with them (CHAPTERS= selects, as in make book), and what comes back (CSV= names the table)
student instructor: .venv/.exported
	@$(RUN) -c "import sys; from engagement_book.workbench.desk.classroom import make_copies; sys.exit(make_copies(*sys.argv[1:3], solutions=sys.argv[3] == 'instructor'))" '$(FOLDER)' '$(CHAPTERS)' $@

grade: .venv/.exported
	@$(RUN) -c "import sys; from engagement_book.workbench.desk.grade import make_grade; sys.exit(make_grade(*sys.argv[1:]))" '$(FOLDER)' '$(CHAPTERS)' '$(CSV)'

# the Chinese of the book, cut from Noto Sans CJK SC (Debian: fonts-noto-cjk; SOURCE=… where else it lies); after make book
SOURCE ?= /usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc
fonts: .venv/.exported
	$(RUN) tests/tools/fonts.py $(SOURCE)

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
