"""Every learner's copy runs to its end before anything is solved.

In CI each copy is run whole, as a learner runs it. Elsewhere a chapter is cut to its set-up, the stubs and their
checks. That every other cell is the book's own to the letter, or waits for an answer, is part of the test; that they
run to the end is what only the whole run proves.
"""
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor

import nbformat
import pytest

from engagement_book.workbench.desk import progress
from engagement_book.workbench.engine.graph import chapters
from engagement_book.workbench.engine.run import default_engine, run_notebook
from engagement_book.workbench.press import copying
from engagement_book.workbench.press.cells import directives
from engagement_book.workbench.waiting import IMPORT

WHOLE = bool(os.environ.get("CI"))


def copy_of(name):
    return copying.learner_copy(nbformat.read(chapters()[name], 4), name)


def changed(nb, name) -> set[str]:
    "Ids of the cells with code that are not the book's own text: stubs, and cells that wait."
    book = {c.id: directives(c.source)[1] for c in nbformat.read(chapters()[name], 4).cells if c.cell_type == "code"}
    return {c.id for c in nb.cells if c.cell_type == "code" and c.source != book[c.id]}


def setup(name) -> set[str]:
    "Ids of the cells that make every exercise of a chapter reachable."
    cells = nbformat.read(chapters()[name], 4).cells
    return {c.id for c in cells if c.cell_type == "code" and "setup" in directives(c.source)[0]}


def unsolved(name, folder) -> dict[str, list]:
    "Cards of each check of a copy that was run without an answer."
    nb = copy_of(name)
    found = progress.exercises(nbformat.read(chapters()[name], 4))
    if not WHOLE and (first := setup(name)):
        nb.cells = [c for c in nb.cells if c.id in first | {e.stub for e in found} | {e.check for e in found}]
    for c in nb.cells:
        c.metadata = {}
    path = folder / f"{name.replace('/', '_')}.ipynb"
    nbformat.write(nb, path)
    ran, _ = run_notebook(path, default_engine(), folder=chapters()[name].parent)
    cells = {c.id: c for c in ran.cells}
    return {e.check: progress._cards(cells[e.check]) for e in found}


@pytest.fixture(scope="module")
def runs(request, tmp_path_factory):
    "Name of a chapter → what its copy shows, two at a time: a kernel has one thread."
    folder = tmp_path_factory.mktemp("copies")
    names = [i.callspec.params["name"] for i in request.session.items
             if getattr(i, "originalname", "") == "test_a_copy_runs_to_its_end_unsolved"]
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        yield {name: pool.submit(unsolved, name, folder) for name in names}
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("name", progress.lessons())
def test_a_copy_runs_to_its_end_unsolved(runs, name):
    nb = copy_of(name)
    found = progress.exercises(nbformat.read(chapters()[name], 4))
    assert found and all(e.check for e in found), "each exercise has a check"
    other = changed(nb, name)
    assert {e.stub for e in found} <= other
    assert all(IMPORT in c.source
               for c in nb.cells if c.id in other - {e.stub for e in found}), "what is changed is a stub, or waits"
    cards = runs[name].result()
    for e in found:
        assert cards[e.check] and progress.state_of(cards[e.check][-1]) == ("open", ""), \
            f"{e.title}: the check says whose turn it is"


def test_a_cell_that_goes_on_with_an_answer_waits():
    "The three chapters that stopped there."
    for name, exercise in (("04_recommend/05_sequential", "after_pair"), ("04_recommend/08_intent", "lift_at"),
                           ("04_recommend/09_spark", "factors_sent")):
        assert any(f"if answered({exercise}):" in c.source for c in copy_of(name).cells), name
