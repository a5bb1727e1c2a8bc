"""A class hands in more than thirty notebooks, most of them broken on purpose: each has the row it should have, and
nothing else is touched."""
import copy
import csv
import functools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest

from engagement_book.workbench.desk import classroom, grade, lab
from engagement_book.workbench.desk.confined import Limits, walls
from engagement_book.workbench.engine.graph import chapters
from engagement_book.workbench.house import ROOT

CELL, TEXT = nbformat.v4.new_code_cell, nbformat.v4.new_markdown_cell
SETUP = """#| setup
import numpy as np
from hypothesis import strategies as st
from engagement_book.workbench.check import Check

numbers = st.floats(1, 9)
check_share = Check("share", lambda a, b: 1 - b / (a + b), st.tuples(numbers, numbers), {
    "ratio": (lambda a, b: a / b, "part by part"),
    "the other": (lambda a, b: b / (a + b), "the other part")}, rtol=1e-6)
scores = st.lists(st.integers(0, 50), min_size=3, max_size=6, unique=True).map(np.array)
check_top = Check("top", lambda s, k: np.array(sorted(range(len(s)), key=lambda i: -s[i])[:k]),
    st.tuples(scores, st.integers(1, 3)), {
    "worst first": (lambda s, k: np.argsort(s)[:k], "sorted upwards"),
    "scores": (lambda s, k: np.sort(s)[::-1][:k], "values, not places")})
check_tally = Check("tally", lambda w: {x: sum(y == x for y in w) for x in w},
    st.tuples(st.lists(st.sampled_from("abc"), min_size=1)),
    {"once": (lambda w: dict.fromkeys(w, 1), "each word once")})"""
SHARE, TOP, TALLY = ("def share(a, b):\n    return a / (b + a)", "def top(s, k):\n    return (-s).argsort()[:k]",
                     "from collections import Counter\ndef tally(words):\n    return Counter(words)")


def exercise(name, args, solution):
    return [TEXT(f"### Exercise: {name}\nWrite it.", id=f"{name}-task"),
            CELL(f"def {name}({args}):\n    ### BEGIN SOLUTION\n    return {solution}\n    ### END SOLUTION",
                 id=f"{name}-answer"),
            CELL(f"check_{name}({name})\nprint(trained)", id=f"{name}-check")]


@pytest.fixture(scope="session")
def books(tmp_path_factory) -> dict[str, Path]:
    "A lesson with three exercises, whose training would take ten minutes, and another one."
    small = nbformat.v4.new_notebook(cells=[
        TEXT("# Three", id="three-title"), CELL(SETUP, id="three-setup"),
        CELL("import time\ntime.sleep(600)\ntrained = 1", id="three-train"), TEXT("## Exercises", id="three-more"),
        *exercise("share", "a, b", "a / (a + b)"), *exercise("top", "s, k", "np.argsort(-s)[:k]"),
        *exercise("tally", "words", "{w: words.count(w) for w in words}")])
    other = nbformat.v4.new_notebook(cells=[TEXT("# Other", id="other-title"), CELL("check_x = print", id="other-a"),
                                            *exercise("x", "", "1")])
    there = tmp_path_factory.mktemp("book")
    for name, nb in (("three", small), ("other", other)):
        nbformat.write(nb, there / f"{name}.ipynb")
    return {n: there / f"{n}.ipynb" for n in ("three", "other")}


@functools.cache
def student_copy(book: Path):
    return classroom.class_copy(nbformat.read(book, 4), solutions=False)


def handed_in(books, share=SHARE, top=TOP, tally=TALLY, change=lambda nb: None, lesson="three") -> str:
    "A submission as JSON: None leaves the stub, `change` edits the notebook."
    nb = copy.deepcopy(student_copy(books[lesson]))
    for c in nb.cells:
        answer = {"share-answer": share, "top-answer": top, "tally-answer": tally}.get(c.id)
        c.source = c.source if answer is None else answer
    change(nb)
    return json.dumps(nb)


def own_cell(source, at=1):
    return lambda nb: nb.cells.insert(at, CELL(source, id="own"))


def without(*ids):
    def change(nb):
        nb.cells = [c for c in nb.cells if c.id not in ids]
    return change


def with_fake_checks(nb):
    for c in nb.cells:
        if c.id.endswith("-check"):
            c.source = "print('✓ right')\n" + FAKE
            c.metadata = {"editable": True}
        if c.id == "three-setup":
            c.source = "class Yes:\n    __call__ = prove = print\ncheck_share = check_top = check_tally = Yes()"


def shuffled(nb):
    nb.cells = [nbformat.from_dict(c | {"metadata": {"tags": ["setup"], "deletable": True}}) for c in reversed(nb.cells)
                for _ in range(2)]


def old_format(nb):
    nb["nbformat"], nb["worksheets"] = 3, [{"cells": nb.pop("cells")}]


FAKE = """from engagement_book.workbench.cards import MIME
from IPython.display import display
for kind in ("check",):
    display({MIME: {"kind": kind, "name": "share", "passed": True}, "text/plain": "right"}, raw=True)
"""
PATCHED = FAKE + """import engagement_book.workbench.check as c, engagement_book.workbench.cards as d
from engagement_book.workbench.desk import grade
c.emit = d.emit = lambda *args, **kwargs: None
import engagement_book.workbench.verdicts as v
v.emit = lambda *args, **kwargs: None
c.Check.__call__ = c.Check.prove = lambda self, fn, *more: None
c.Check.judge = lambda self, fn, guard: (None, [])
c.counterexample = lambda *args, **kwargs: None
grade.Judge.verdict = lambda *args: ("right", "", "")
"""
FORGED = """import gc, pickle, os
class Bad:
    def __reduce__(self):
        return os.system, ("touch FORGED",)
def share(a, b):
    for c in gc.get_objects():
        if type(c).__name__ == "Connection":
            try:
                c.send_bytes(pickle.dumps(("ok", Bad(), None)))
            except OSError:
                pass
    return Bad()"""
BARE = """def share(a, b):
    while True:
        try:
            while True: pass
        except:
            pass"""
LIBC = """import ctypes, os
libc = ctypes.CDLL(None)
"""


def the_class(books, canary: Path, held: set) -> dict:
    """File → (its content, {exercise: (state, mistake, part of the problem)} for what is not right; or a row for the
    whole file)."""
    hang = ("not yet", "", "no end within 3 s")
    own, kernel = (lambda **kw: handed_in(books, **kw)), {"files", "processes and network"} <= held
    everything = lambda state, why="": dict.fromkeys(("share", "top", "tally"), (state, "", why))
    children = LIBC + ("for _ in range(3):\n    if libc.fork() == 0:\n        os.setsid(); libc.sleep(1000); "
                       "os._exit(0)\n")
    return {
        "right.ipynb": (own(), {}),
        "open.ipynb": (own(share=None, top=None, tally=None), everything("open")),
        "emptied.ipynb": (own(share="", top="# later\n", tally="pass"),
                          {"share": ("open", "", ""), "top": ("open", "", ""),
                           "tally": ("error", "", "defines no tally")}),
        "ratio.ipynb": (own(share="def share(a, b):\n    return a / b"),
                        {"share": ("not yet", "ratio", "expected 0.5")}),
        "other part.ipynb": (own(share="def share(a, b):\n    return b / (a + b)"),
                             {"share": ("not yet", "the other", "")}),
        "worst first.ipynb": (own(top="def top(s, k):\n    return s.argsort()[:k]"),
                              {"top": ("not yet", "worst first", "")}),
        "scores.ipynb": (own(top="def top(s, k):\n    return np.sort(s)[::-1][:k]"),
                         {"top": ("not yet", "scores", "")}),
        "once.ipynb": (own(tally="def tally(w):\n    return {x: 1 for x in w}"), {"tally": ("not yet", "once", "")}),
        "half.ipynb": (own(share="def share(a, b):\n    return .5"), {"share": ("not yet", "", "expected")}),
        "for ever.ipynb": (own(share="def share(a, b):\n    while True: pass"), {"share": hang}),
        "for ever in a cell.ipynb": (own(share=SHARE + "\nwhile True: pass"),
                                     {"share": ("error", "", "no end within 3 s")}),
        "sleeps.ipynb": (own(top="import time\ndef top(s, k):\n    time.sleep(1e6)"), {"top": hang}),
        "bare except.ipynb": (own(share=BARE), {"share": hang}),
        "deleted.ipynb": (own(change=without("top-answer", "top-check", "share-check", "three-setup")),
                          {"top": ("not found", "", "top")}),
        "fake checks.ipynb": (own(share=None, top=None, change=with_fake_checks),
                              {"share": ("open", "", ""), "top": ("open", "", "")}),
        "fake card.ipynb": (own(share=FAKE + "def share(a, b):\n    " + FAKE.replace("\n", "\n    ")
                                + "\n    return a / b"), {"share": ("not yet", "ratio", "")}),
        "patched.ipynb": (own(share=PATCHED + "def share(a, b):\n    return a / b", tally=None),
                          {"share": ("not yet", "ratio", ""), "tally": ("open", "", "")}),
        "forged.ipynb": (own(share=FORGED), {"share": ("not yet", "", "cannot be read")}),
        "essay.docx": ("PK", ("", "no notebook: its name")),
        "torn.ipynb": (own()[:-70], ("", "damaged")),
        "of another lesson.ipynb": (handed_in(books, lesson="other"), ("other", "not asked for")),
        "stranger.ipynb": (json.dumps(nbformat.v4.new_notebook(cells=[CELL("1")])), ("", "no lesson")),
        "empty.ipynb": ("", ("", "empty")),
        "format 3.ipynb": (own(change=old_format), ("", "format 3")),
        "list.ipynb": ("[" * 100_000, ("", "damaged")),
        "leaves.ipynb": (own(share="import os\nos._exit(0)"),
                         {"share": ("error", "", "ended by itself (exit code 0)")}),
        "leaves in answer.ipynb": (own(top="import os\ndef top(s, k):\n    os._exit(3)"),
                                   {"top": ("not yet", "", "ended by itself (exit code 3)")}),
        "kills.ipynb": (own(share="import os\nos.kill(os.getppid(), 9)\n"),
                        {"share": ("error", "", "may not call os.kill")}),
        "memory.ipynb": (own(tally="def tally(w):\n    return bytearray(10**10)"),
                         {"tally": ("not yet", "", "MemoryError")}),
        "hoards.ipynb": (own(tally="def tally(w):\n    x = []\n    while True: x.append(bytearray(10**7))"),
                         {"tally": ("not yet", "", "")}),
        "laughs.ipynb": (own(top="def top(s, k):\n    x = [1]\n    for _ in range(30): x = [x] * 10\n    return x"),
                         {"top": ("not yet", "", "too many parts")}),
        "forks.ipynb": (own(share="import os\nwhile True: os.fork()"),
                        {"share": ("error", "", "may not call os.fork")}),
        "writes.ipynb": (own(share=f"open({str(canary)!r}, 'w').write('x')\n"),
                         {"share": ("error", "", "its own folder only")}),
        "network.ipynb": (own(share="import socket\ndef share(a, b):\n    socket.create_connection(('192.0.2.1', 80))"),
                          {"share": ("not yet", "", "tried to reach")}),
        "prints.ipynb": (own(share="def share(a, b):\n    print('x' * 10**7)\n    return a / (b + a)",
                             change=own_cell("print('y' * 10**8)")), {}),
        "quits.ipynb": (own(share="def share(a, b):\n    raise SystemExit", top="raise SystemExit"),
                        {"share": ("not yet", "", "SystemExit"), "top": ("error", "", "SystemExit")}),
        "=1+1 王 小明.ipynb": (own(share="def share(a, b):\n    raise ValueError('=cmd()')"),
                            {"share": ("not yet", "", "=cmd()")}),
        "王/shuffled twice.ipynb": (own(change=shuffled), {}),
        "王/helper.ipynb": (own(share="def share(a, b):\n    return a / total(a, b)",
                               change=own_cell("%time total = lambda a, b: a + b")), {}),
        "王/nothing.ipynb": (own(share="def share(a, b):\n    a / (a + b)", top="def top(s, k)\n    pass",
                                tally="def tally(w):\n    return words"),
            {"share": ("not yet", "", ""), "top": ("error", "", "SyntaxError"),
             "tally": ("not yet", "", "NameError: name 'words' is not defined, in the line: return words")}),
        "mutates.ipynb": (own(top="def top(s, k):\n    s.sort()\n    return s[::-1][:k]"),
                          {"top": ("not yet", "scores", "")}),
        **({"behind its back.ipynb": (own(share=LIBC
                                          + f"libc.kill(-1, 9)\nlibc.open(b'{canary}', 65, 511)\nos.remove = "
                                            f"None\nlibc.unlink(b'{books['three']}')\n" + SHARE), {}),
            "children.ipynb": (own(share=children + SHARE), {}),
            "bomb.ipynb": (own(share=LIBC + "while True: libc.fork()"),
                           {"share": ("error", "", "started more than 8 processes")})} if kernel else {}),
    }


@pytest.fixture(scope="session")
def graded(books, tmp_path_factory):
    "The class, graded: (expected, rows of the table, seconds)."
    folder, canary = tmp_path_factory.mktemp("class"), ROOT / "nbs" / "written_by_a_submission"
    expected = the_class(books, canary, walls(str(tmp_path_factory.mktemp("empty"))))
    for name, (content, _) in expected.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    before, start = {p: p.read_bytes() for p in [*folder.rglob("*.*"), *books.values()]}, time.monotonic()
    grade.grade(folder, {"three"}, books=books, limits=Limits(cell=3, notebook=30, memory=300 << 20))
    took = time.monotonic() - start
    assert {p: p.read_bytes() for p in before} == before, "a submission or the book was changed"
    assert not canary.exists() and not list(ROOT.glob("FORGED")) and not list((ROOT / "nbs").rglob("FORGED"))
    with open(folder / "grades.csv", encoding="utf-8-sig", newline="") as f:
        return expected, list(csv.DictReader(f)), took


def test_everybody_has_a_row(graded):
    expected, rows, _ = graded
    assert len(expected) >= 30
    assert {r["file"].lstrip("'") for r in rows} == expected.keys()


def test_each_has_the_row_it_should_have(graded):
    expected, rows, _ = graded
    wrong = []
    for name, (_, want) in expected.items():
        theirs = [r for r in rows if r["file"].lstrip("'") == name]
        if isinstance(want, tuple):
            want, found = {"": ("error", "", want[1])}, want[0]
        else:
            want, found = dict.fromkeys(("share", "top", "tally"), ("right", "", "")) | want, "three"
        assert [r["exercise"] for r in theirs] == list(want), name
        for r in theirs:
            state, mistake, problem = want[r["exercise"]]
            if (r["lesson"], r["state"], r["mistake"]) != (found, state, mistake) or problem not in r["problem"]:
                wrong.append((name, want[r["exercise"]], r))
    assert not wrong, "\n".join(map(str, wrong))


BOMBS = r"""
import os, sys, psutil
from IPython.core.interactiveshell import InteractiveShell
from engagement_book.workbench.desk.confined import Learner, Limits

learner = Learner(InteractiveShell.instance(), sys.argv[1], Limits(cell=3))
for _ in range(6):
    print(learner.run("import ctypes\nlibc = ctypes.CDLL(None)\nwhile True: libc.fork()"))
    assert not psutil.Process().children(recursive=True)
print(learner.run("x = 1") or "ran")
learner.end("enough")
"""


def test_nothing_of_a_bomb_is_left_for_the_next_cell(tmp_path):
    "What it started vanishes with its process space while it is being ended one by one."
    (empty := tmp_path / "empty").mkdir()
    if "processes and network" not in walls(str(empty)):
        pytest.skip("nothing holds a fork bomb without process spaces (no expiry: another system)")
    done = subprocess.run([sys.executable, "-c", BOMBS, tmp_path], capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines() == 6 * ["it started more than 8 processes"] + ["ran"], done.stderr


def test_no_field_is_a_formula(graded):
    _, rows, _ = graded
    assert not [v for r in rows for v in r.values() if v.lstrip()[:1] in ("=", "+", "-", "@")]
    assert [r for r in rows if r["file"].startswith("'=1+1")]


def test_nothing_is_left_running(graded):
    left = [p
            for p in psutil.process_iter(["cmdline"])
            if "workbench.desk.grade import serve" in " ".join(p.info["cmdline"] or [])]
    assert not left


def test_a_class_takes_about_a_second_each(graded):
    expected, _, took = graded
    print(f"\n{len(expected)} submissions in {took:.1f} s, {took / len(expected):.2f} s each")
    assert took < 5 * len(expected)


def test_a_table_with_remarks_is_kept(tmp_path):
    row = dict.fromkeys(grade.COLUMNS, "x")
    out = tmp_path / "grades.csv"
    for remark in ("", "", "my remark", "my second", ""):
        grade.write_table([row], out)
        out.write_bytes(out.read_bytes() + remark.encode())
    grade.write_table([row], out)
    kept = {p.name: p.read_bytes().rpartition(b"\n")[2].decode() for p in tmp_path.glob("*.csv")}
    assert kept == {"grades.csv": "", "grades.before.csv": "my remark", "grades.before1.csv": "my second"}
    assert grade._handed_in(tmp_path, out) == []


def test_a_lesson_that_cannot_be_prepared_says_so(books, tmp_path):
    nb = nbformat.read(books["three"], 4)
    nb.cells[1].source = "#| setup\n1 / 0"
    nbformat.write(nb, broken := tmp_path / "broken.ipynb")
    (folder := tmp_path / "class").mkdir()
    (folder / "a.ipynb").write_text(handed_in(books))
    rows = grade.grade(folder, books={"three": broken})
    assert [r["state"] for r in rows] == ["error"] * 3 and "ZeroDivisionError" in rows[0]["problem"]


@pytest.mark.parametrize("name", classroom.lessons())
def test_every_exercise_of_the_book_is_found_with_its_check(name):
    nb = nbformat.read(chapters()[name], 4)
    found = classroom.exercises(nb)
    assert len(found) == sum("### BEGIN SOLUTION" in c.source for c in nb.cells if c.cell_type == "code")
    assert all(e.check and e.task and e.cell and e.name in e.names for e in found)


@pytest.mark.parametrize("name", ["04_recommend/01_evaluation", "02_language/05_pretraining"])
def test_the_books_own_solutions_are_right_and_its_stubs_open(name, tmp_path):
    "With no more of the chapter than its exercises need: a test that trains would not end in time."
    nb = nbformat.read(chapters()[name], 4)
    for file, of in (("right", "solution"), ("open", "stub")):
        for e in (found := classroom.lesson_from(name, chapters()[name]).exercises):
            next(c for c in nb.cells if c.id == e.cell).source = getattr(e, of)
        nbformat.write(nb, tmp_path / f"{file}.ipynb")
    rows = grade.grade(tmp_path, limits=Limits(cell=30, notebook=90))
    assert [(r["file"], r["state"]) for r in rows] == [(f"{s}.ipynb", s) for s in ("open", "right") for _ in found]


@pytest.mark.parametrize("name", classroom.lessons())
def test_a_students_copy_has_no_trace_of_a_solution(name, monkeypatch):
    # it reads the whole book for each cell of text
    monkeypatch.setattr(lab, "book_map", lambda *args: "", raising=False)
    nb = nbformat.read(chapters()[name], 4)
    found = classroom.exercises(nb)
    elsewhere = "\n".join(c.source for c in nb.cells if c.id not in {e.cell for e in found})
    student, teacher = (classroom.class_copy(nb, s) for s in (False, True))
    text = "\n".join(c.source for c in student.cells)
    secret = [line for e in found for line in e.solution.split("\n")[1:] if line not in e.stub
              and len(line.strip()) > 12 and line.strip() not in elsewhere]
    assert not found or secret
    assert not [line for line in secret if line.strip() in text] and "### BEGIN" not in text
    by_id = {c.id: c for c in student.cells}
    for e in found:
        assert by_id[e.cell].source == e.stub and by_id[e.cell].metadata.get("editable") is True
        assert all(by_id[i].metadata.get("editable") is False and by_id[i].metadata.deletable is False
                   for i in (*e.task, *e.checked_in))
        assert next(c.source for c in teacher.cells if c.id == e.cell) == e.solution
    nbformat.validate(student)
    nbformat.validate(teacher)


def test_make_says_in_a_line_what_it_was_not_told(tmp_path, capsys):
    assert classroom.make_copies("") == grade.make_grade("") == grade.make_grade(str(tmp_path / "none")) == 2
    assert classroom.make_copies(str(tmp_path), "01_nosuch") == grade.make_grade(str(tmp_path), "01_nosuch") == 2
    said = capsys.readouterr().err.strip().split("\n")
    assert len(said) == 5 and all(line.startswith("make ") for line in said)
    assert not os.listdir(tmp_path)
