"""The learner's folder: what is delivered, what stays, what stands in the way; and the template of a new chapter
held to what is asked of every chapter."""
import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import test_book
import test_floors
from test_press import change, has_run, red_book, run  # noqa: F401   a fixture and its tools

from engagement_book.workbench import cards
from engagement_book.workbench.desk import lab, template
from engagement_book.workbench.engine.graph import chapters
from engagement_book.workbench.engine.run import default_engine, run_notebook, without_times
from engagement_book.workbench.house import ROOT
from engagement_book.workbench.press import copying

NEW = "03_behavior/01_new_events2"


def prepare(folder) -> dict[str, str]:
    done = run(folder,
               "import json; from engagement_book.workbench.desk.lab import prepare; print(json.dumps(prepare()))",
               JUPYTER_DATA_DIR=str(folder / "jupyter"))
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_a_book_with_red_results_is_delivered_as_far_as_it_came(red_book):  # noqa: F811
    (red_book / "_build" / "executed" / "index.ipynb").unlink()
    assert set(prepare(red_book).values()) == {"new"}, "also what never ran"
    three = nbformat.read(red_book / "work" / "01_tiny" / "03_three.ipynb", 4)
    assert not any(c.outputs for c in three.cells if c.cell_type == "code")
    two = nbformat.read(red_book / "work" / "01_tiny" / "02_two.ipynb", 4)
    at = next(i for i, c in enumerate(two.cells) if c.id == "bad")
    assert two.cells[at].outputs[0].ename == "ZeroDivisionError" and two.cells[at - 1].outputs[0].text == "42\n"
    note, after = two.cells[at + 1:at + 3]
    assert note.source == copying.STOPPED_HERE and "print('never')" in after.source and not after.outputs
    one = nbformat.read(red_book / "work" / "01_tiny" / "01_one.ipynb", 4)
    assert any("red" in o.data.get(cards.MIME, {}) for c in one.cells if c.cell_type == "code" for o in c.outputs)
    assert "01_tiny/03_three" in "".join(c.source for c in nbformat.read(red_book / "work" / "index.ipynb", 4).cells)
    has_run(red_book, "01_tiny/02_two")
    assert prepare(red_book)["01_tiny/02_two"] == "renewed", "mended, it replaces the copy that stopped"


def test_papermills_own_remarks_are_not_delivered(red_book):  # noqa: F811
    path = red_book / "_build" / "executed" / "01_tiny" / "02_two.ipynb"
    nb = nbformat.read(path, 4)
    nb.cells.insert(0,
                    nbformat.v4.new_markdown_cell("An Exception was encountered",
                                                  metadata={"tags": ["papermill-error-cell-tag"]}))
    nbformat.write(nb, path)
    prepare(red_book)
    assert nbformat.read(red_book / "work" / "01_tiny" / "02_two.ipynb", 4).cells[0].source.startswith("# Two")


def test_a_damaged_result_is_delivered_without_it(red_book):  # noqa: F811
    (red_book / "_build" / "executed" / "01_tiny" / "01_one.ipynb").write_text('{"cells": [')
    assert prepare(red_book)["01_tiny/01_one"] == "new"
    assert read(red_book, "01_tiny/01_one").cells[0].source.startswith("# One")


def read(folder, name):
    return nbformat.read(folder / "work" / f"{name}.ipynb", 4)


def edit(folder, name, **cells):
    "What a learner does: change sources by cell id, or add a cell."
    nb = read(folder, name)
    here = {c.id: c for c in nb.cells}
    for id, source in cells.items():
        if id in here:
            here[id].source = source
        else:
            nb.cells.append(nbformat.v4.new_markdown_cell(source, id=id))
    nbformat.write(nb, folder / "work" / f"{name}.ipynb")


def files(folder) -> dict[str, bytes]:
    return {p.relative_to(folder / "work").as_posix(): p.read_bytes()
            for p in (folder / "work").rglob("*") if p.is_file() and p.name != ".delivered.json"}


def test_an_edited_notebook_and_no_update_give_no_new_version(red_book):  # noqa: F811
    prepare(red_book)
    edit(red_book, "01_tiny/01_one", mine="my note")
    before = files(red_book)
    for _ in range(3):
        assert prepare(red_book)["01_tiny/01_one"] in ("same", "edited")
    assert files(red_book) == before, "nothing was touched, no .new appeared"
    (red_book / "work" / ".delivered.json").unlink()
    assert prepare(red_book)["01_tiny/01_one"] == "edited"
    assert files(red_book).keys() == before.keys() and read(red_book, "01_tiny/01_one").cells[-1].source == "my note"


def test_one_new_version_beside_an_edited_notebook(red_book):  # noqa: F811
    prepare(red_book)
    edit(red_book, "01_tiny/01_one", mine="my note")
    for words in ("Second version.", "Third version."):
        change(red_book, "01_tiny/01_one", words)
        has_run(red_book, "01_tiny/01_one")
        assert prepare(red_book)["01_tiny/01_one"] == "beside"
    new = [n for n in files(red_book) if ".new" in n]
    assert new == ["01_tiny/01_one.new.ipynb"] and read(red_book,
                                                        "01_tiny/01_one.new").cells[-1].source == "Third version."
    edit(red_book, "01_tiny/01_one.new", also="my second note")
    change(red_book, "01_tiny/01_one", "Fourth version.")
    has_run(red_book, "01_tiny/01_one")
    kept = files(red_book)
    for _ in range(2):
        done = run(red_book,
                   "import json; from engagement_book.workbench.desk.lab import prepare; print(json.dumps(prepare()))")
        assert "rename 01_one.new.ipynb, which you edited too" in done.stdout, "said until it is done"
    after = files(red_book)
    assert all(after[n] == kept[n] for n in kept if n.startswith("01_tiny"))
    (red_book / "work" / "01_tiny" / "01_one.new.ipynb").rename(red_book / "work" / "01_tiny" / "mine.ipynb")
    assert prepare(red_book)["01_tiny/01_one"] == "beside"
    assert read(red_book, "01_tiny/mine").cells[-1].source == "my second note"
    assert read(red_book, "01_tiny/01_one.new").cells[-1].source == "Fourth version."


@pytest.mark.parametrize("damage",
                         ["", "{", "[]", '{"notebooks": [1]}', '{"01_tiny/01_one": "an old fingerprint"}', None])
def test_a_damaged_memory_overwrites_nothing(red_book, damage):  # noqa: F811
    prepare(red_book)
    edit(red_book, "01_tiny/01_one", mine="my note")
    (red_book / "work" / "01_tiny" / "own.ipynb").write_text("mine, and no notebook")
    (red_book / "work" / "01_tiny" / "02_two.new.ipynb").write_text("mine too")
    kept = files(red_book)
    memory = red_book / "work" / ".delivered.json"
    memory.unlink() if damage is None else memory.write_text(damage)
    change(red_book, "01_tiny/03_three", "More.")
    assert prepare(red_book)["01_tiny/03_three"] == "renewed", "the notebook itself says that it is untouched"
    after = files(red_book)
    for name in ("01_tiny/01_one.ipynb", "01_tiny/own.ipynb", "01_tiny/02_two.new.ipynb"):
        assert after[name] == kept[name], name
    json.loads(memory.read_text())


def test_a_notebook_of_an_older_book_that_says_nothing_of_itself(red_book):  # noqa: F811
    prepare(red_book)
    for name in ("01_tiny/01_one", "01_tiny/02_two"):
        nb = read(red_book, name)
        del nb.metadata["engagement_book"]
        nbformat.write(nb, red_book / "work" / f"{name}.ipynb")
        change(red_book, name, "More.")
        has_run(red_book, name)
    done = prepare(red_book)
    assert done["01_tiny/01_one"] == "renewed", "the memory knows it"
    (red_book / "work" / ".delivered.json").unlink()
    nb = read(red_book, "01_tiny/02_two")
    nb.metadata.pop("engagement_book", None)
    nb.cells[0].source = "# An older version"
    nbformat.write(nb, red_book / "work" / "01_tiny" / "02_two.ipynb")
    assert prepare(red_book)["01_tiny/02_two"] == "beside", "nobody knows, so it stays"
    assert read(red_book, "01_tiny/02_two").cells[0].source == "# An older version"


def test_results_arrive_and_a_run_of_the_learner_stays(red_book):  # noqa: F811
    "A copy delivered before its chapter was built."
    prepare(red_book)
    nb = read(red_book, "01_tiny/03_three")
    assert not nb.cells[1].outputs and nb.cells[1].execution_count is None
    out = [{"output_type": "stream", "name": "stdout", "text": "of the book\n"}]
    has_run(red_book, "01_tiny/03_three", {"c0": out})
    assert prepare(red_book)["01_tiny/03_three"] == "renewed" and read(
        red_book, "01_tiny/03_three").cells[1].outputs[0].text == "of the book\n"
    nb = read(red_book, "01_tiny/03_three")
    nb.cells[1].execution_count, nb.cells[1].outputs[0].text = 4, "of the learner\n"
    nbformat.write(nb, red_book / "work" / "01_tiny" / "03_three.ipynb")
    has_run(red_book, "01_tiny/03_three", {"c0": [{**out[0], "text": "once more\n"}]})
    prepare(red_book)
    assert read(red_book, "01_tiny/03_three").cells[1].outputs[0].text == "of the learner\n"


def test_a_delivered_notebook_is_trusted(red_book, monkeypatch):  # noqa: F811
    from nbformat.sign import NotebookNotary

    monkeypatch.setenv("JUPYTER_DATA_DIR", str(red_book / "jupyter"))
    prepare(red_book)
    assert NotebookNotary().check_signature(read(red_book, "01_tiny/01_one"))
    edit(red_book, "01_tiny/01_one", mine="<script>")
    prepare(red_book)
    assert not NotebookNotary().check_signature(read(red_book,
                                                     "01_tiny/01_one")), "what a person wrote is theirs to trust"


def test_a_home_that_cannot_be_written_keeps_nobody_out(red_book, tmp_path):  # noqa: F811
    (tmp_path / "file").write_text("")
    done = run(red_book, "from engagement_book.workbench.desk.lab import prepare; prepare()",
               JUPYTER_DATA_DIR=str(tmp_path / "file" / "no"), HOME=str(tmp_path / "file"))
    assert done.returncode == 0 and read(red_book, "01_tiny/01_one").cells[0].source.startswith("# One")


def test_an_unchanged_book_is_prepared_without_reading_it(monkeypatch, tmp_path):
    "The whole book, not the small one: nothing is read that has not changed, but the index, which knows of them all."
    first, read, copy_of = lab.prepare(tmp_path), [], lab.copy_of
    monkeypatch.setattr(lab, "copy_of", lambda name, *a: read.append(name) or copy_of(name, *a))
    again = lab.prepare(tmp_path)
    assert again.keys() == first.keys() and set(again.values()) <= {"same"} and set(read) <= {"index"}


def open_lab(folder, port, options="", **env):
    return run(folder,
               f"import sys; from engagement_book.workbench.desk.lab import open_lab; sys.exit(open_lab({port}, "
               f"{options!r}, rest=False))", **env)


def test_a_port_that_is_taken_is_said_in_a_line(red_book):  # noqa: F811
    import socket

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        done = open_lab(red_book, port, "--allow-root")
    assert done.returncode == 0 and done.stdout.startswith(
        f"port {port} is taken") and "make lab PORT=" in done.stdout and not done.stderr


def test_root_is_told_what_to_do(red_book):  # noqa: F811
    code = ("import os, sys; os.geteuid = lambda: 0; from engagement_book.workbench.desk.lab import open_lab; "
            "sys.exit(open_lab(1))")
    done = run(red_book, code)
    assert done.returncode == 0 and "make lab LAB=--allow-root" in done.stdout and not done.stderr


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory):
    "What `make new` lays out, exported, in a house of its own, the notebooks and cards of its run."
    top = tmp_path_factory.mktemp("house")
    for name in ("settings.ini", "pyproject.toml", "setup.py", "requirements.lock"):
        shutil.copy(ROOT / name, top / name)
    shutil.copytree(ROOT / "engagement_book", top / "engagement_book", ignore=shutil.ignore_patterns("__pycache__"))
    lesson = template.new_chapter(NEW, top / "nbs")
    made = {NEW: lesson, f"{NEW.replace('/', '/checks/')}": lesson.parent / "checks" / lesson.name}
    code = f"""import json, nbformat
from engagement_book.workbench.engine.run import run_notebook
from engagement_book.workbench.cards import cards
from pathlib import Path
for name, path in {({n: str(p) for n, p in made.items()})!r}.items():
    nb, _ = run_notebook(Path(path), "papermill")
    Path(path + ".json").write_text(json.dumps([nb, cards(nb)]))"""
    env = os.environ | {"PYTHONPATH": str(top)}
    for cmd in ([Path(sys.executable).with_name("nbdev_export")], [sys.executable, "-c", code]):
        done = subprocess.run(cmd, cwd=top, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    ran = {name: json.loads(Path(f"{path}.json").read_text(encoding="utf-8")) for name, path in made.items()}
    return made, {n: nbformat.from_dict(nb) for n, (nb, _) in ran.items()}, {n: shown for n, (_, shown) in ran.items()}


def test_the_template_runs_and_is_proved(laid_out):
    _, executed, shown = laid_out
    for nb in executed.values():
        assert not [o for c in nb.cells if c.cell_type == "code" for o in c.outputs if o.output_type == "error"]
    exported = [n.name for c in executed[NEW].cells if c.source.startswith("#| export")
                for n in ast.parse(c.source).body if isinstance(n, ast.FunctionDef)]
    every = [c for cards_of in shown.values() for c in cards_of]
    proofs = {c["name"]: c for c in every if c["kind"] == "proof"}
    assert exported == ["new_events2_double"] and set(exported) <= proofs.keys()
    assert all(p["killed"] for p in proofs.values()) and not any(c.get("red") for c in every)
    checks = [c for c in every if c["kind"] == "check"]
    assert len(checks) == 3 and all(c["passed"] for c in checks)


def test_the_template_has_what_is_asked_of_every_chapter(laid_out, monkeypatch):
    made, _, shown = laid_out
    for module in (test_book, test_floors):
        monkeypatch.setattr(module, "chapters", lambda: made)
    test_floors.test_a_lesson_has_its_anatomy(shown, NEW)
    for check in (test_floors.test_a_lesson_is_read_in_one_sitting, test_floors.test_exported_code_can_be_opened,
                  test_floors.test_a_lesson_shows_its_proofs_as_single_lines):
        check(NEW)
    test_floors.test_checks_say_whose_they_are(NEW.replace("/", "/checks/"))
    for check in (test_book.test_cells_are_short, test_book.test_citations_exist,
                  test_book.test_executed_claims_are_computed, test_floors.test_code_fits_the_page,
                  test_floors.test_nothing_is_wrapped_by_a_machine):
        for name in made:
            check(name)
    for path in made.values():
        nb = nbformat.read(path, 4)
        nbformat.validate(nb)
        assert set(nb.metadata) == {"kernelspec"} and not any(c.get("outputs") for c in nb.cells)


def test_the_template_passes_the_linter(laid_out):
    done = subprocess.run([sys.executable, "-m", "ruff", "check", "--no-cache", "--config",
                           str(ROOT / "pyproject.toml"), *map(str, laid_out[0].values())],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name, why", [
    ("", "a chapter is named like 03_behavior/01_events, not ''"), ("behavior/events", "a chapter is named like"),
    ("03_Behavior/01_events", "a chapter is named like"),
    ("01_networks/01_mlp", "exists; choose another number or name"),
    ("01_networks/09_mlp", "01_networks/01_mlp exports engagement_book.networks.mlp already"),
    ("12_networks/01_x", "the part networks is nbs/01_networks"),
    ("03_behavior/01_class", "class is a word of Python")])
def test_a_bad_name_gives_one_line_and_nothing_else(name, why, capsys):
    before = sorted((ROOT / "nbs").rglob("*"))
    assert template.make_new(name) == 2
    said = capsys.readouterr()
    assert not said.out and said.err.startswith("make new: ") and why in said.err and said.err.count("\n") == 1
    assert sorted((ROOT / "nbs").rglob("*")) == before


@pytest.mark.parametrize("name", ["00_workbench/08_figure", "00_workbench/desk/05_lab"])
def test_two_runs_give_the_same_outputs(name):
    "Only the cards of `race` may differ; no random name, no number of a process, no order of a set."
    runs = [run_notebook(chapters()[name], engine)[0] for engine in ("papermill", default_engine())]
    first, second = (nbformat.writes(without_times(nb)) for nb in runs)
    assert first == second
