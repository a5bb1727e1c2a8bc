"""What stands in every learner's copy: no answer before a task is tried, no role of another tool, no link that leads
nowhere; and progress read from it."""
import posixpath
import re

import nbformat
import pytest

from engagement_book.workbench.cards import MIME
from engagement_book.workbench.desk import lab, progress, start
from engagement_book.workbench.desk.delivery import write_notebook
from engagement_book.workbench.engine.graph import chapters
from engagement_book.workbench.engine.results import executed
from engagement_book.workbench.press import copying
from engagement_book.workbench.press.cells import stopped_in

NAMES = list(chapters())
CHAPTERS = progress.lessons()


@pytest.fixture(scope="module")
def copies():
    return {name: lab.copy_of(name) for name in NAMES}


def code(nb):
    return [c for c in nb.cells if c.cell_type == "code"]


def outside_code(text):
    return re.sub(r"```.*?```|`[^`]*`", "", text, flags=re.S)


@pytest.mark.parametrize("name", CHAPTERS)
def test_nothing_stands_between_a_task_and_its_stub(copies, name):
    cells, stubs = copies[name].cells, {e.stub for e in progress.exercises(nbformat.read(chapters()[name], 4))}
    assert len(stubs) >= 2
    for i, c in enumerate(cells):
        if c.id in stubs:
            before = next(d for d in reversed(cells[:i]) if d.cell_type == "markdown" and copying.TASK.search(d.source))
            assert all(d.cell_type == "markdown" for d in cells[cells.index(before):i]), c.id
            assert "BEGIN SOLUTION" not in c.source and "your turn" in c.source and not c.outputs


@pytest.mark.parametrize("name", CHAPTERS)
def test_what_prepares_a_check_is_folded(copies, name):
    inside = copying.among_exercises(nbformat.read(chapters()[name], 4).cells)
    shown = [c.id for c in code(copies[name]) if c.id in inside and re.search(r"\bCheck\(", c.source)
             and not c.metadata.get("jupyter", {}).get("source_hidden") and not copying.has_check(c.source)]
    assert shown == []


@pytest.mark.parametrize("name", NAMES)
def test_no_word_of_another_tool_is_left(copies, name):
    for c in copies[name].cells:
        if c.cell_type == "markdown":
            assert "{cite:" not in outside_code(c.source), c.source[:200]
        else:
            assert not re.match(r"#\s*\|", c.source), c.source[:80]
            assert c.execution_count is None
    nbformat.validate(copies[name])


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(copies, name):
    "To a notebook of the folder, and to a cell that is in it."
    found = 0
    for c in copies[name].cells:
        if c.cell_type != "markdown":
            continue
        for path, anchor in re.findall(r"(?<!!)\[[^\]\n]*\]\(([^()\s#]*)(#[^()\s]+)?\)", outside_code(c.source)):
            if re.match(r"[a-z]+:", path):
                continue
            target = posixpath.normpath(posixpath.join(posixpath.dirname(name), path)).removesuffix(".ipynb")
            assert path.endswith(".ipynb") and (target in copies or target == "start"), (path, anchor)
            ids = {d.id for d in copies[target].cells} if anchor else ()
            assert not anchor or anchor.removeprefix("#cell-id=") in ids, (path, anchor)
            found += 1
        for picture in re.findall(r"!\[[^\]]*\]\(([^)\s]+)\)", outside_code(c.source)):
            assert picture.removeprefix("attachment:") in c.get("attachments", {}), picture
    assert found or "/" not in name


def test_the_text_does_not_depend_on_a_run():
    for name in CHAPTERS:
        done, raw = executed(name), nbformat.read(chapters()[name], 4)
        if done is not None and [c.source for c in done.cells] == [
            c.source for c in raw.cells] and not any(stopped_in(c) for c in code(done)):
            assert [c.source for c in copying.learner_copy(done, name).cells] == [
                c.source for c in copying.learner_copy(raw, name).cells], name


def test_what_is_red_is_never_folded():
    red = nbformat.v4.new_output("display_data", {MIME: {"kind": "record", "red": "too low"}, "text/plain": "x"})
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("#| hide\nrecord()", id="a", outputs=[red])])
    assert copying.learner_copy(nb, "p/x", ["p/x"]).cells[0].metadata["jupyter"] == {"source_hidden": True}


# ---- progress
# ----------------------------------------------------------------

def card(kind="check", **data):
    return nbformat.v4.new_output("display_data", {MIME: {"kind": kind, "name": "f", **data}, "text/plain": ""})


@pytest.fixture
def work(tmp_path, copies):
    name = CHAPTERS[0]
    write_notebook(tmp_path / f"{name}.ipynb", copies[name])
    return tmp_path, name, progress.exercises(nbformat.read(chapters()[name], 4))


def leave(work, cell=None, *outputs, run_all=False):
    folder, name, _ = work
    nb = nbformat.read(folder / f"{name}.ipynb", 4)
    for c in code(nb):
        if run_all:
            c.execution_count = 1
        if c.id == cell:
            c.outputs, c.execution_count = list(outputs), 1
    nbformat.write(nb, folder / f"{name}.ipynb")
    return progress.how_far(name, folder)


@pytest.mark.parametrize("kind", ["check"])
def test_each_state_of_an_exercise(work, kind):
    check = work[2][0].check
    state = lambda *cards: (lambda e: (e.state, e.mistake))(leave(work, check, *cards).exercises[0])
    assert state() == ("open", "") == state(card(kind, passed=False, written=False))
    assert state(card(kind, passed=False, misconception=None)) == ("not yet", "")
    assert state(card(kind, passed=False, written=True, misconception="the sum")) == ("not yet", "the sum")
    assert state(card(kind, passed=False, misconception="the sum"), card(kind, passed=True)) == ("right", "")
    assert state(card("proof", passed=True)) == ("open", ""), "the book's own proofs do not count"


def test_a_delivered_lesson_is_not_begun(work):
    folder, name, _ = work
    x = progress.how_far(name, folder)
    assert x.ran == 0 and not x.run and {e.state for e in x.exercises} == {"open"}
    assert leave(work, run_all=True).run


@pytest.mark.parametrize("damage",
                         ["", "{", "[]", '{"cells": 3}',
                          '{"cells": [{"cell_type": "code"}], "nbformat": 4, "nbformat_minor": 5, "metadata": {}}',
                          "\x00\xff"])
def test_a_damaged_notebook_damages_nothing_else(work, damage):
    folder, name, _ = work
    (folder / f"{name}.ipynb").write_text(damage)
    found = progress.progress(folder)
    assert len(found) == len(CHAPTERS) and found[0].name == name and not found[0].done
    assert "lessons run" in progress.in_lines(found)[0]
    start.write_start(folder)
    shown = nbformat.read(folder / "start.ipynb", 4).cells[1].outputs[0].data["text/html"]
    assert all(f'href="{n}.ipynb"' in shown for n in CHAPTERS)


def test_the_start_page_keeps_what_a_learner_writes_in_it(work):
    folder, name, exercises = work
    start.write_start(folder)
    nb = nbformat.read(folder / "start.ipynb", 4)
    nb.cells.append(nbformat.v4.new_markdown_cell("my plan for Tuesday", id="plan"))
    nbformat.write(nb, folder / "start.ipynb")
    leave(work, exercises[0].check, card(passed=True))
    start.write_start(folder)
    nb = nbformat.read(folder / "start.ipynb", 4)
    assert nb.cells[-1].source == "my plan for Tuesday"
    n = sum(len(x.exercises) for x in progress.progress(folder))
    assert f"1 of {n} exercises right" in nb.cells[1].outputs[0].data["text/html"]
    assert not list(folder.glob("start*new*"))


def test_what_a_lesson_needs_comes_before_it():
    said = start.about_lessons(CHAPTERS)
    for i, name in enumerate(CHAPTERS):
        assert set(said[name].needs) <= set(CHAPTERS[:i]), name
        assert all(name in said[n].needs for n in said[name].leads) and 5 <= said[name].minutes <= 180
    assert said["01_networks/02_optimizers"].needs == ["01_networks/01_mlp"]
