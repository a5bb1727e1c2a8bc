"""Every learner's copy runs to its end before anything is solved.

A chapter is cut to its set-up, the stubs and their checks, and run. Every other cell is the book's own to the letter,
stands where it stood, and needs no answer, or waits for one: then it runs as it ran when the book was built. With
`WHOLE_COPIES=1` each copy is run whole, as a learner runs it; that takes as long as the lessons of the book.
"""
import ast
import multiprocessing
import os
import re
import symtable
from concurrent.futures import ProcessPoolExecutor

import nbformat
import pytest

from engagement_book.workbench.desk import progress
from engagement_book.workbench.engine.graph import chapters
from engagement_book.workbench.engine.run import default_engine, run_notebook
from engagement_book.workbench.press import copying
from engagement_book.workbench.press.cells import directives
from engagement_book.workbench.waiting import IMPORT, is_check

WHOLE = bool(os.environ.get("WHOLE_COPIES"))


def copy_of(name):
    return copying.learner_copy(nbformat.read(chapters()[name], 4), name)


def changed(nb, name) -> set[str]:
    "Ids of the cells with code that are not the book's own text: stubs, and cells that wait."
    book = {c.id: directives(c.source)[1] for c in nbformat.read(chapters()[name], 4).cells if c.cell_type == "code"}
    return {c.id for c in nb.cells if c.cell_type == "code" and c.source != book[c.id]}


def waits_for(statement) -> set[str]:
    "Exercises that a statement waits for."
    named = isinstance(statement, ast.If) and re.fullmatch(r"answered\(([\w, ]+)\)", ast.unparse(statement.test))
    return set(named[1].split(", ")) if named else set()


def read(statement) -> set[str]:
    "Names of the notebook that a statement reads, also inside functions, as Python's own compiler sees it."
    def of(table):
        outside = table.get_type() == "module"
        found = {s.get_name() for s in table.get_symbols() if s.is_referenced() and (outside or s.is_global())}
        return found.union(*map(of, table.get_children()))
    return of(symtable.symtable(ast.unparse(statement), "cell", "exec"))


def bound(statement) -> set[str]:
    "Names that a statement gives a value, or whose object it fills by `a[0] = …` or `a.append(…)`."
    table = symtable.symtable(ast.unparse(statement), "cell", "exec")
    filled = {n.value.id for n in ast.walk(statement) if isinstance(n, (ast.Subscript, ast.Attribute))
              and isinstance(n.value, ast.Name)
              and (isinstance(n.ctx, ast.Store) or getattr(n, "attr", "") in ("append", "extend", "update", "add"))}
    return filled | {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported()}


def go_on_without(nb, stubs: set[str]) -> list[tuple[str, set[str]]]:
    "Cells that read what a reader has yet to write, or what comes of it, and do not wait for all of it."
    missing, found = {}, []          # name → exercises it comes from
    for c in nb.cells:
        if c.cell_type != "code" or c.source.lstrip().startswith("%"):
            continue
        for statement in ast.parse(c.source).body:
            needed = read(statement) & missing.keys()
            roots = {r for name in needed for r in missing[name]}
            if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
                roots |= {statement.name} if c.id in stubs else set()
                missing |= {name: roots for name in bound(statement) if roots}
            elif waiting := waits_for(statement):
                missing |= {name: waiting for name in bound(statement)}
                found += [(c.id, needed)] if roots - waiting else []
            elif needed and not is_check(statement):
                found.append((c.id, needed))
    return found


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
    assert go_on_without(nb, {e.stub for e in found}) == []
    code = [c.id for c in nb.cells if c.cell_type == "code"]
    first = min(code.index(e.stub) for e in found)
    at = {c.id: i for i, c in enumerate(nbformat.read(chapters()[name], 4).cells)}
    assert code[:first] == sorted(code[:first], key=at.get), "what comes before the exercises comes as in the book"
    cards = runs[name].result()
    for e in found:
        assert cards[e.check] and progress.state_of(cards[e.check][-1]) == ("open", ""), \
            f"{e.title}: the check says whose turn it is"


def test_a_cell_that_goes_on_with_an_answer_waits():
    "The three chapters that stopped there."
    for name, exercise in (("04_recommend/05_sequential", "after_pair"), ("04_recommend/08_intent", "lift_at"),
                           ("04_recommend/09_spark", "factors_sent")):
        assert any(f"if answered({exercise}):" in c.source for c in copy_of(name).cells), name


def test_what_goes_on_with_an_answer_is_seen():
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source, id=id) for id, source in {
        "stub": "def mean(x):\n    ...", "check": "check.mean(mean)",
        "waits": "kept = []\nif answered(mean):\n    m = mean([1, 2])\n    kept.append(m)",
        "reads": "print(m)", "calls": "def twice(x):\n    return 2 * mean(x)",
        "later": "y = [twice([i]) for i in '12']", "filled": "kept[0]",
        "other": "if answered(median):\n    print(mean([1, 2]))",
        "own": "def other(mean):\n    return mean\nother(3)"}.items()])
    assert go_on_without(nb, {"stub"}) == [("reads", {"m"}), ("later", {"twice"}), ("filled", {"kept"}),
                                           ("other", {"mean"})]
    nb.cells = [c for c in nb.cells if c.id not in ("reads", "later", "filled", "other")]
    assert go_on_without(nb, {"stub"}) == []
