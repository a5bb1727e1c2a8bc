"""The build: incremental by content, one failing chapter stops only itself, a killed run leaves nothing that the next one trusts wrongly."""
import json
import os
import re
import signal
import subprocess
import sys
import time

import nbformat
import pytest
from conftest import run_pytask

ONLY = ("-k", "task_execute")
ENGINE = {"ENGINE": "papermill"}
ALL = {"index", "01_tiny/01_one", "01_tiny/02_two", "01_tiny/03_three"}


def executed(folder, *args, ok=True) -> set[str]:
    "Chapters that a build ran."
    done = run_pytask(folder, "-n", "2", *(args or ONLY), **ENGINE)
    assert (done.returncode == 0) == ok, done.stdout[-5000:]
    return set(re.findall(r"task_execute\[(\S+)\]\s*│ \.", done.stdout))


def edit(folder, name, change):
    path = folder / "nbs" / f"{name}.ipynb"
    nb = nbformat.read(path, 4)
    change(nb)
    nbformat.write(nb, path)


def test_only_what_depends_on_a_change_runs_again(small_book):
    assert executed(small_book) == ALL
    assert executed(small_book) == set()
    for path in small_book.rglob("*.ipynb"):
        path.touch()
    assert executed(small_book) == set(), "touching a file is not changing it"

    edit(small_book, "01_tiny/01_one", lambda nb: nb.cells[0].update(source="# One\n\n> Better prose."))
    assert executed(small_book) == {"01_tiny/01_one"}, "prose in one notebook does not re-run another"

    module = small_book / "engagement_book" / "tiny" / "one.py"
    module.write_text(module.read_text().replace("2 * x", "x + x"))
    assert executed(small_book) == {"01_tiny/01_one", "01_tiny/02_two"}, "a module re-runs those that import it"

    ledger = small_book / "data" / "claims.toml"
    ledger.write_text(ledger.read_text().replace("matches neither", "equals neither"))
    assert executed(small_book) == set(), "a claim that no chapter settles re-runs nothing"
    ledger.write_text(ledger.read_text().replace("0.7311 = sigmoid(1)", "0.7311 is sigmoid(1)"))
    assert executed(small_book) == {"01_tiny/03_three"}

    lock = small_book / "requirements.lock"
    lock.write_text(lock.read_text() + "\n# changed\n")
    assert executed(small_book) == ALL


def test_a_failing_cell_stops_only_its_chapter(small_book):
    edit(small_book, "01_tiny/02_two", lambda nb: nb.cells.append(nbformat.v4.new_code_cell("1 / 0", id="bad")))
    assert executed(small_book, ok=False) == ALL - {"01_tiny/02_two"}
    report = (small_book / "_build" / "failed" / "01_tiny" / "02_two.txt").read_text()
    for words in ("chapter 01_tiny/02_two failed in cell 2: ZeroDivisionError", "1 / 0", "make book CHAPTER=01_tiny/02_two"):
        assert words in report
    assert executed(small_book, "-k", "01_one", ok=True) == set()
    edit(small_book, "01_tiny/02_two", lambda nb: nb.cells.pop())
    assert executed(small_book) == {"01_tiny/02_two"}
    assert not (small_book / "_build" / "failed" / "01_tiny" / "02_two.txt").exists()


def test_two_chapters_may_not_settle_the_same_claim(small_book):
    edit(small_book, "01_tiny/02_two", lambda nb: nb.cells.append(nbformat.v4.new_code_cell("from engagement_book.workbench.claim import claim\nclaim('2.3.1-mlp-a1', got=.88)", id="again")))
    executed(small_book)
    code = "from engagement_book.workbench.build import *; refuse_twice(all_cards())"
    done = subprocess.run([sys.executable, "-c", code], cwd=small_book, env={**os.environ, "PYTHONPATH": str(small_book)}, capture_output=True, text=True)
    assert "claim settled twice: 2.3.1-mlp-a1 in 01_tiny/02_two cell again and 01_tiny/03_three cell c0" in done.stderr


def test_a_damaged_result_is_made_again(small_book):
    executed(small_book)
    (small_book / "_build" / "executed" / "01_tiny" / "01_one.ipynb").write_text("{")
    (small_book / "_build" / "records" / "01_tiny" / "03_three.json").unlink()
    assert executed(small_book) == {"01_tiny/01_one", "01_tiny/03_three"}


@pytest.mark.parametrize("after", [2.5, 6.0])
def test_a_killed_run_leaves_nothing_wrong(small_book, after):
    for name in ("01_tiny/01_one", "01_tiny/02_two"):
        edit(small_book, name, lambda nb: nb.cells.append(nbformat.v4.new_code_cell("import time\ntime.sleep(1.5)\n'done'", id="slow")))
    cmd = [sys.executable, "-m", "pytask", "-n", "2", *ONLY]
    p = subprocess.Popen(cmd, cwd=small_book, env={**os.environ, **ENGINE, "PYTHONPATH": str(small_book)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    time.sleep(after)
    os.killpg(p.pid, signal.SIGKILL)
    p.wait()
    executed(small_book)
    assert executed(small_book) == set()
    for name in ALL:
        nb = nbformat.read(small_book / "_build" / "executed" / f"{name}.ipynb", 4)
        if name in ("01_tiny/01_one", "01_tiny/02_two"):
            assert nb.cells[-1].outputs[0].data["text/plain"] == "'done'"
        json.loads((small_book / "_build" / "records" / f"{name}.json").read_text())
    assert not [f for f in (small_book / "_build" / "executed").rglob("*.ipynb") if f.relative_to(small_book / "_build" / "executed").with_suffix("").as_posix() not in ALL]


def test_the_learners_copy_survives_an_update(small_book):
    def prepare():
        code = "import json; from engagement_book.workbench.lab import prepare; print(json.dumps(prepare()))"
        done = subprocess.run([sys.executable, "-c", code], cwd=small_book, env={**os.environ, "PYTHONPATH": str(small_book)}, capture_output=True, text=True, check=True)
        return json.loads(done.stdout.splitlines()[-1]), done.stdout

    executed(small_book)
    assert set(prepare()[0].values()) == {"new"}
    mine = small_book / "work" / "01_tiny" / "01_one.ipynb"
    nb = nbformat.read(mine, 4)
    nb.cells.append(nbformat.v4.new_markdown_cell("my own note"))
    nbformat.write(nb, mine)
    for name in ("01_tiny/01_one", "01_tiny/03_three"):
        edit(small_book, name, lambda nb: nb.cells[0].update(source="# New\n\n> Version."))
    executed(small_book)
    done, said = prepare()
    assert done == {"index": "same", "01_tiny/01_one": "kept", "01_tiny/02_two": "same", "01_tiny/03_three": "renewed"}
    assert "you edited it, so it stays" in said and nbformat.read(mine, 4).cells[-1].source == "my own note"
    assert nbformat.read(mine.with_name("01_one.new.ipynb"), 4).cells[0].source.startswith("# New")
