"""The build: incremental by content, one failing chapter stops only itself, a killed run leaves nothing that the
next one trusts wrongly."""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import nbformat
import pytest
from conftest import run_pytask
from filelock import FileLock

from engagement_book.workbench.house import ROOT

ONLY = ("-k", "task_execute")
ENGINE = {"ENGINE": "papermill"}
ALL = {"index", "01_tiny/01_one", "01_tiny/02_two", "01_tiny/03_three"}


def executed(folder, *args) -> set[str]:
    "Chapters that a build ran."
    done = run_pytask(folder, "-n", "2", *(args or ONLY), **ENGINE)
    assert done.returncode == 0, done.stdout[-5000:]
    return set(re.findall(r"task_execute\[(\S+)\]\s*│ \.", done.stdout))


def in_book(folder, code: str, **env) -> subprocess.CompletedProcess:
    "Python code run with the package of a folder."
    return subprocess.run([sys.executable, "-c", code], cwd=folder,
                          env={**os.environ, **ENGINE, "PYTHONPATH": str(folder), "COLUMNS": "160", **env},
                          capture_output=True, text=True)


def make_book(folder, **kw) -> subprocess.CompletedProcess:
    "What `make book` runs, in a folder."
    return in_book(folder,
                   f"import sys; from engagement_book.workbench.press.book import make_book; "
                   f"sys.exit(make_book(**{kw!r}))")


def red(folder) -> dict[str, list[str]]:
    "What the build of a folder says is not as promised."
    return json.loads(in_book(folder,
                              "import json; from engagement_book.workbench.engine.results import red; "
                              "print(json.dumps(red()))").stdout)


def add_cell(folder, name, source, id="added"):
    edit(folder, name, lambda nb: nb.cells.append(nbformat.v4.new_code_cell(source, id=id)))


def edit(folder, name, change):
    path = folder / "nbs" / f"{name}.ipynb"
    nb = nbformat.read(path, 4)
    change(nb)
    nbformat.write(nb, path)


ASKS = """import os, sys
import engagement_book.workbench.press.book as book
def ask(wanted):
    print("pytask is asked")
    os._exit(7)
book.run_changed, book.site_faults = ask, list
sys.exit(book.make_book())"""


def test_an_unchanged_book_does_not_ask_pytask(small_book):
    "Any change at all, to what is read or to what was made, and it is asked again."
    first = make_book(small_book)
    again = in_book(small_book, ASKS)
    assert again.returncode == 0, first.stdout[-3000:] + first.stderr[-2000:] + again.stdout + again.stderr
    made = small_book / "_build" / "records" / "01_tiny" / "03_three.json"
    module = small_book / "engagement_book" / "tiny" / "one.py"
    lesson, ledger = small_book / "nbs" / "01_tiny" / "01_one.ipynb", small_book / "data" / "claims.toml"
    for path in (lesson, ledger, made, module):
        was = path.read_bytes()
        path.write_bytes(was + b"\n")
        assert in_book(small_book, ASKS).returncode == 7, path
        path.write_bytes(was)
    made.unlink()
    assert in_book(small_book, ASKS).returncode == 7


def test_an_edit_while_the_build_runs_is_not_lost(small_book):
    lesson = small_book / "nbs" / "01_tiny" / "01_one.ipynb"
    code = (f"import pathlib; p = pathlib.Path({str(lesson)!r}); "
            "p.write_text(p.read_text() + ' ')")
    add_cell(small_book, "01_tiny/03_three", code)
    before = lesson.read_text()
    make_book(small_book)
    assert lesson.read_text() != before
    assert in_book(small_book, ASKS).returncode == 7


def test_a_stopped_chapter_is_no_unchanged_book(small_book):
    add_cell(small_book, "01_tiny/02_two", "1 / 0")
    make_book(small_book)
    assert in_book(small_book, ASKS).returncode == 7, "it shall run again, whatever was the cause"


def test_a_folder_that_pytask_overlooks_is_refused(small_book):
    "Else nothing would run, and the build would say that all is well."
    overlooked = small_book.rename(small_book.with_name("build"))
    done = make_book(overlooked)
    assert done.returncode == 2 and "rename it" in done.stdout, done.stdout[-2000:] + done.stderr[-2000:]


def test_make_site_runs_nothing(small_book):
    code = ("import sys; from engagement_book.workbench.press.book import make_site_only; "
            "sys.exit(make_site_only())")
    shutil.copytree(ROOT / "nbs" / "_ext", small_book / "nbs" / "_ext", ignore=shutil.ignore_patterns("__pycache__"))
    done = in_book(small_book, code)
    page = small_book / "_build" / "site" / "01_tiny" / "01_one.html"
    assert "open " in done.stdout, done.stdout[-2000:] + done.stderr[-2000:]
    assert "This chapter has not been run here" in page.read_text(encoding="utf-8")
    assert not (small_book / "_build" / "executed").exists()


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
    add_cell(small_book, "01_tiny/02_two", "1 / 0", "bad")
    add_cell(small_book, "01_tiny/02_two", "'never reached'", "later")
    assert executed(small_book) == ALL
    report = (small_book / "_build" / "failed" / "01_tiny" / "02_two.txt").read_text()
    for words in ("chapter 01_tiny/02_two stopped in cell 2: ZeroDivisionError", "1 / 0",
                  "make book CHAPTER=01_tiny/02_two"):
        assert words in report
    nb = nbformat.read(small_book / "_build" / "executed" / "01_tiny" / "02_two.ipynb", 4)
    assert nb.cells[1].outputs[0].text == "42\n" and nb.cells[2].outputs[0].ename == "ZeroDivisionError"
    assert not nb.cells[3].outputs
    assert list(red(small_book)) == ["01_tiny/02_two"]
    assert executed(small_book) == {"01_tiny/02_two"}, "what stopped runs again: the cause may have been the computer"
    assert executed(small_book, "-k", "01_one") == set()
    edit(small_book, "01_tiny/02_two", lambda nb: nb.cells.__delitem__(slice(2, None)))
    assert executed(small_book) == {"01_tiny/02_two"}
    assert red(small_book) == {}


RED = {"record": ("from engagement_book.workbench.record import record\nrecord('x', .5, (.6, .7))",
                  "x: 0.5 is outside its band, 0.6 to 0.7"),
       "beats": ("from engagement_book.workbench.record import beats\nbeats('x', [1., 2.], [1., 2.5])",
                 "which is not above 0"),
       "claim": ("from engagement_book.workbench.claim import claim\nclaim('2.3.1-mlp-out', got=.7654)",
                 "the ledger says refuted"),
       "check": ("from hypothesis import strategies as st\nfrom engagement_book.workbench.check import Check\n"
                 "Check('one', lambda x: x - 1, st.tuples(st.integers(1, 3)), wrong={'same': (lambda x: x, "
                 "'nowhere')}).prove(lambda x: x + 1)", "one differs from its oracle")}


@pytest.mark.parametrize("kind", RED)
def test_a_red_result_stops_nothing(small_book, kind):
    source, message = RED[kind]
    add_cell(small_book, "01_tiny/02_two", source)
    add_cell(small_book, "01_tiny/02_two", "'after'", "after")
    done = make_book(small_book)
    assert done.returncode == 1 and "RED 01_tiny/02_two" in done.stdout and message in done.stdout, (
        done.stdout + done.stderr)
    nb = nbformat.read(small_book / "_build" / "executed" / "01_tiny" / "02_two.ipynb", 4)
    assert nb.cells[-1].outputs[0].data["text/plain"] == "'after'"
    assert executed(small_book) == set(), "a red result is a result"


def test_two_chapters_may_not_settle_the_same_claim(small_book):
    add_cell(small_book, "01_tiny/02_two",
             "from engagement_book.workbench.claim import claim\nclaim('2.3.1-mlp-a1', got=.88)", "again")
    executed(small_book)
    assert red(small_book) == {"01_tiny/03_three": ["claim 2.3.1-mlp-a1 stands twice: in 01_tiny/02_two cell again "
                                                    "and in 01_tiny/03_three cell c0"]}


@pytest.mark.parametrize("kw, said",
                         [({"chapter": "02_tow"}, "no chapter fits '02_tow'; nearest: 02_two"),
                          ({"chapters": "01_tiny 9"}, "no chapter fits '9'")])
def test_a_mistyped_chapter_is_refused(small_book, kw, said):
    done = make_book(small_book, **kw)
    assert done.returncode == 2 and said in done.stdout and "open" not in done.stdout


def test_an_unknown_engine_is_refused(small_book):
    done = in_book(small_book,
                   "import sys; from engagement_book.workbench.press.book import make_book; sys.exit(make_book())",
                   ENGINE="frok")
    assert done.returncode == 2 and "ENGINE is papermill or fork, not 'frok'" in done.stdout


def test_one_chapter_or_a_selection(small_book):
    done = make_book(small_book, chapter="02_two")
    assert "01_tiny/02_two" in done.stdout and "03_three" not in done.stdout.partition("peak MB")[0]
    assert not (small_book / "_build" / "executed" / "01_tiny" / "03_three.ipynb").exists()
    make_book(small_book, chapters="index 01_one")
    assert {p.stem for p in (small_book / "_build" / "executed").rglob("*.ipynb")} == {"index", "01_one", "02_two"}
    assert executed(small_book) == {"01_tiny/03_three"}, "a selection makes nothing else out of date"


def test_adding_or_removing_a_chapter_runs_no_other(small_book):
    executed(small_book)
    new = small_book / "nbs" / "01_tiny" / "04_four.ipynb"
    new.write_text((small_book / "nbs" / "01_tiny" / "02_two.ipynb").read_text())
    assert executed(small_book) == {"01_tiny/04_four"}
    new.unlink()
    assert executed(small_book) == set()


def test_content_decides_and_not_time(small_book):
    "An edit that keeps the modification time, to a notebook or to a result, is noticed."
    executed(small_book)
    for path, name in ((small_book / "nbs" / "01_tiny" / "02_two.ipynb", "01_tiny/02_two"),
                       (small_book / "_build" / "records" / "01_tiny" / "03_three.json", "01_tiny/03_three")):
        was = path.stat()
        path.write_text(path.read_text() + "\n")
        os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
        assert executed(small_book) == {name}


def test_progress_names_what_is_done_and_what_runs(small_book):
    add_cell(small_book, "01_tiny/02_two", "import time\ntime.sleep(4)")
    said = make_book(small_book).stdout
    assert any(" s " in line and "(running: " in line and "01_tiny/02_two" in line.partition("(")[2]
               for line in said.splitlines()), said


def test_a_refused_build_leaves_the_log_of_the_other(small_book):
    log = small_book / "_build" / "progress.log"
    log.parent.mkdir(exist_ok=True)
    log.write_text("start\t01_tiny/01_one\n")
    with FileLock(log.with_name("building.lock")):
        done = make_book(small_book)
    assert done.returncode == 2 and "another build" in done.stdout, done.stdout[-2000:] + done.stderr[-2000:]
    assert log.read_text() == "start\t01_tiny/01_one\n"


RUNS_A_PART = """import contextlib
from engagement_book.workbench.desk.behind import run_part
run_part(["01_tiny/01_one"], contextlib.nullcontext())"""


def test_a_part_runs_in_a_process_of_its_own(small_book):
    done = in_book(small_book, RUNS_A_PART)
    assert (small_book / "_build" / "executed" / "01_tiny" / "01_one.ipynb").exists(), done.stdout + done.stderr
    (small_book / "task_book.py").write_text("raise SystemExit(3)")
    assert "results may be missing" in in_book(small_book, RUNS_A_PART).stdout


def test_a_dead_kernel_is_reported(small_book):
    add_cell(small_book, "01_tiny/02_two", "import os\nos._exit(9)", "dies")
    done = make_book(small_book)
    assert done.returncode == 1
    assert "chapter 01_tiny/02_two stopped in cell 2: DeadKernelError" in done.stdout
    assert "run it alone: make book CHAPTER=01_tiny/02_two" in done.stdout


def test_a_syntax_error_stops_only_its_chapter(small_book):
    add_cell(small_book, "01_tiny/02_two", "def broken(:\n    pass")
    assert executed(small_book) == ALL
    assert "stopped in cell 2: SyntaxError" in red(small_book)["01_tiny/02_two"][0]


def await_start(folder, n: int, seconds: float = 120):
    "Until a build runs n chapters of one tiny part, and a little longer: their kernels start."
    log = folder / "_build" / "progress.log"
    for _ in range(int(seconds * 10)):
        if log.exists() and len(re.findall(r"^start\t01_tiny", log.read_text(), re.M)) >= n:
            time.sleep(2)
            return
        time.sleep(.1)
    raise AssertionError("the build did not begin")


def test_an_interrupt_is_no_success(small_book):
    for name in ("01_tiny/01_one", "01_tiny/02_two"):
        add_cell(small_book, name, "import time\ntime.sleep(30)")
    code = ("import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "  # which a job lacks
            "from engagement_book.workbench.press.book import make_book; sys.exit(make_book())")
    p = subprocess.Popen([sys.executable, "-c", code], cwd=small_book,
                         env={**os.environ, **ENGINE, "PYTHONPATH": str(small_book)}, stdout=subprocess.PIPE, text=True,
                         start_new_session=True)
    await_start(small_book, 2)
    os.killpg(p.pid, signal.SIGINT)
    said, _ = p.communicate(timeout=60)
    assert p.returncode != 0 and "stopped before the end" in said and "\nopen " not in said


def test_workers_end_with_the_build(small_book):
    "With only the main process killed, nothing runs on."
    import psutil

    add_cell(small_book, "01_tiny/01_one", "import time\ntime.sleep(60)")
    p = subprocess.Popen([sys.executable, "-m", "pytask", "-n", "2", *ONLY], cwd=small_book,
                         env={**os.environ, "ENGINE": "fork", "PYTHONPATH": str(small_book)}, stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL)
    await_start(small_book, 1)
    started = psutil.Process(p.pid).children(recursive=True)
    assert started
    p.kill()
    p.wait()
    _, alive = psutil.wait_procs(started, timeout=10)
    assert not [c for c in alive if c.status() != psutil.STATUS_ZOMBIE]


def test_a_damaged_result_is_made_again(small_book):
    executed(small_book)
    (small_book / "_build" / "executed" / "01_tiny" / "01_one.ipynb").write_text("{")
    (small_book / "_build" / "records" / "01_tiny" / "03_three.json").unlink()
    assert executed(small_book) == {"01_tiny/01_one", "01_tiny/03_three"}


@pytest.mark.parametrize("after", [2.5, 6.0])
def test_a_killed_run_leaves_nothing_wrong(small_book, after):
    for name in ("01_tiny/01_one", "01_tiny/02_two"):
        edit(small_book, name,
             lambda nb: nb.cells.append(nbformat.v4.new_code_cell("import time\ntime.sleep(1.5)\n'done'", id="slow")))
    cmd = [sys.executable, "-m", "pytask", "-n", "2", *ONLY]
    p = subprocess.Popen(cmd, cwd=small_book, env={**os.environ, **ENGINE, "PYTHONPATH": str(small_book)},
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
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
    assert not [f
                for f in (small_book / "_build" / "executed").rglob("*.ipynb")
                if f.relative_to(small_book / "_build" / "executed").with_suffix("").as_posix() not in ALL]


def test_the_learners_copy_survives_an_update(small_book):
    def prepare():
        code = "import json; from engagement_book.workbench.desk.lab import prepare; print(json.dumps(prepare()))"
        done = subprocess.run([sys.executable, "-c", code], cwd=small_book,
                              env={**os.environ, "PYTHONPATH": str(small_book)}, capture_output=True, text=True,
                              check=True)
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
    assert done == {"index": "same", "01_tiny/01_one": "beside", "01_tiny/02_two": "same",
                    "01_tiny/03_three": "renewed"}
    assert "you edited it, so it stays" in said and nbformat.read(mine, 4).cells[-1].source == "my own note"
    assert nbformat.read(mine.with_name("01_one.new.ipynb"), 4).cells[0].source.startswith("# New")
