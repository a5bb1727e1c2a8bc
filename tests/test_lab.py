"""The learner's copy after a build that went wrong, and the template of a new chapter held to what is asked of every chapter."""
import ast
import json
import subprocess
import sys

import nbformat
import pytest
import test_book
from test_site import change, has_run, red_book, run  # noqa: F401   a fixture and its tools

from engagement_book.workbench import build, cards, lab
from engagement_book.workbench.house import ROOT

NEW = "03_behavior/01_new_events2"


def prepare(folder) -> dict[str, str]:
    done = run(folder, "import json; from engagement_book.workbench.lab import prepare; print(json.dumps(prepare()))")
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_a_book_with_red_results_is_delivered_as_far_as_it_came(red_book):  # noqa: F811
    (red_book / "_build" / "executed" / "index.ipynb").unlink()
    assert prepare(red_book) == {"index": "new", "01_tiny/01_one": "new", "01_tiny/02_two": "new"}, "what never ran is not delivered; the start page is"
    two = nbformat.read(red_book / "work" / "01_tiny" / "02_two.ipynb", 4)
    at = next(i for i, c in enumerate(two.cells) if c.id == "bad")
    assert two.cells[at].outputs[0].ename == "ZeroDivisionError" and two.cells[at - 1].outputs[0].text == "42\n"
    assert two.cells[at + 1].source == lab.STOPPED_HERE and "print('never')" in two.cells[at + 2].source and not two.cells[at + 2].outputs
    one = nbformat.read(red_book / "work" / "01_tiny" / "01_one.ipynb", 4)
    assert any("red" in o.data.get(cards.MIME, {}) for c in one.cells if c.cell_type == "code" for o in c.outputs)
    assert "01_tiny/03_three" in "".join(c.source for c in nbformat.read(red_book / "work" / "index.ipynb", 4).cells)
    has_run(red_book, "01_tiny/02_two")
    assert prepare(red_book)["01_tiny/02_two"] == "renewed", "mended, it replaces the copy that stopped"


def test_papermills_own_remarks_are_not_delivered(red_book):  # noqa: F811
    path = red_book / "_build" / "executed" / "01_tiny" / "02_two.ipynb"
    nb = nbformat.read(path, 4)
    nb.cells.insert(0, nbformat.v4.new_markdown_cell("An Exception was encountered", metadata={"tags": ["papermill-error-cell-tag"]}))
    nbformat.write(nb, path)
    prepare(red_book)
    assert nbformat.read(red_book / "work" / "01_tiny" / "02_two.ipynb", 4).cells[0].source.startswith("# Two")


def test_a_damaged_result_is_not_delivered(red_book):  # noqa: F811
    change(red_book, "01_tiny/01_one", "more")
    (red_book / "_build" / "executed" / "01_tiny" / "01_one.ipynb").write_text('{"cells": [')
    assert "01_tiny/01_one" not in prepare(red_book)


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory):
    "A chapter as `make new` lays it out, the chapter executed, and its cards."
    made = lab.new_chapter(NEW, tmp_path_factory.mktemp("nbs"))
    executed, _ = build.run_notebook(made)
    return made, executed, cards.cards(executed)


def test_the_template_runs_and_is_proved(laid_out):
    _, executed, shown = laid_out
    assert not [o for c in executed.cells if c.cell_type == "code" for o in c.outputs if o.output_type in ("error", "stream")]
    exported = [n.name for c in executed.cells if c.source.startswith("#| export") for n in ast.parse(c.source).body if isinstance(n, ast.FunctionDef)]
    proofs = {c["name"]: c for c in shown if c["kind"] == "proof"}
    assert exported == ["new_events2_double"] and set(exported) < proofs.keys() and all(p["killed"] for p in proofs.values())
    assert all(c["passed"] for c in shown if c["kind"] == "grade") and not any(c.get("red") for c in shown)


def test_the_template_has_what_is_asked_of_every_chapter(laid_out, monkeypatch):
    made, _, shown = laid_out
    monkeypatch.setattr(build, "chapters", lambda: {NEW: made})
    test_book.test_a_chapter_has_its_anatomy({NEW: shown}, NEW)
    for check in (test_book.test_cells_are_short, test_book.test_citations_exist, test_book.test_executed_claims_are_computed):
        check(NEW)
    nb = nbformat.read(made, 4)
    nbformat.validate(nb)
    assert set(nb.metadata) == {"kernelspec"} and not any(c.get("outputs") for c in nb.cells)


def test_the_template_passes_the_linter(laid_out):
    done = subprocess.run([sys.executable, "-m", "ruff", "check", "--no-cache", "--config", str(ROOT / "pyproject.toml"), str(laid_out[0])], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name, why", [
    ("", "a chapter is named like 03_behavior/01_events, not ''"), ("behavior/events", "a chapter is named like"), ("03_Behavior/01_events", "a chapter is named like"),
    ("01_networks/01_mlp", "exists; choose another number or name"), ("01_networks/09_mlp", "01_networks/01_mlp exports engagement_book.networks.mlp already"),
    ("12_networks/01_x", "the part networks is nbs/01_networks"), ("03_behavior/01_class", "class is a word of Python")])
def test_a_bad_name_gives_one_line_and_nothing_else(name, why, capsys):
    before = sorted((ROOT / "nbs").rglob("*"))
    assert lab.make_new(name) == 2
    said = capsys.readouterr()
    assert not said.out and said.err.startswith("make new: ") and why in said.err and said.err.count("\n") == 1
    assert sorted((ROOT / "nbs").rglob("*")) == before


@pytest.mark.parametrize("name", ["00_workbench/08_figure", "00_workbench/15_lab"])
def test_two_runs_give_the_same_outputs(name):
    "Only the cards of `race` may differ; no random name, no number of a process, no order of a set."
    runs = [build.run_notebook(build.chapters()[name], engine)[0] for engine in ("papermill", build.default_engine())]
    first, second = (nbformat.writes(build.without_times(nb)) for nb in runs)
    assert first == second
