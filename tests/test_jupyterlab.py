"""JupyterLab in a real browser, as a learner meets it: start page, lesson, exercise wrong and right, progress, an
update, nothing lost."""
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import nbformat
import pytest
from test_press import change, has_run

from engagement_book.workbench.house import ROOT

CHECK = '''from hypothesis import strategies as st
from engagement_book.workbench.check import Check
'''
CHECK += '''check_triple = Check("triple", lambda x: x + x + x, st.tuples(st.integers(1, 9)),
    wrong={"doubled": (lambda x: 2 * x, "one x short")})'''
CALL = "check_triple(triple)"
STUB = "def triple(x):\n    ### BEGIN SOLUTION\n    return 3 * x\n    ### END SOLUTION"
STYLED = {"output_type": "display_data", "metadata": {},
          "data": {"text/html": "<style>.eb-once { display: none }</style><p class='eb-once'>dark</p><p>light "
                                "figure</p>", "text/plain": "figure"}}


@pytest.fixture
def classroom(small_book):
    "A lesson with an exercise, and a cell that goes on with the learner's function."
    shutil.copytree(ROOT / "nbs" / "_ext", small_book / "nbs" / "_ext", ignore=shutil.ignore_patterns("__pycache__"))
    (small_book / "images").mkdir()
    (small_book / "nbs" / "_lab").mkdir()
    (small_book / "nbs" / "_lab" / "overrides.json").write_text((ROOT / "nbs" / "_lab" / "overrides.json").read_text())
    change(small_book, "01_tiny/01_one", "See [below](#what-goes-wrong) and [two](02_two).",
           ("picture", "#| echo: false\n'a figure'"), *(f"Line {i}." for i in range(60)), "## What goes wrong")
    change(small_book, "01_tiny/01_one", ("oracle", f"#| hide\n{CHECK}"),
           "## Exercises\n### Exercise: three times\nWrite it.", ("stub", STUB), ("check", CALL),
           ("after", "print('twice three times', 2 * triple(1))"), ("last", "print('the end')"))
    return small_book


def ran(folder):
    "Leave results as a build would."
    has_run(folder, "index")
    has_run(folder, "01_tiny/01_one", {"picture": [STYLED]})
    for name in ("01_tiny/02_two", "01_tiny/03_three"):
        has_run(folder, name)


class Lab:
    "`make lab` in a folder, with stores and settings of its own."

    def __init__(self, folder, rest=False):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.folder, self.url = folder, f"http://localhost:{self.port}"
        own = {f"JUPYTER_{kind}_DIR": str(folder / "jupyter" / kind) for kind in ("DATA", "RUNTIME", "CONFIG")}
        self.env = {**os.environ, **own, "PYTHONPATH": str(folder), "ENGINE": "papermill", "EB_CHAPTERS": "",
                    "EB_BUILD": ""}
        self.env.pop("ENGAGEMENT_BOOK_CACHE", None)
        options = "--allow-root --no-browser --IdentityProvider.token=t --LabApp.expose_app_in_browser=True"
        code = (f"import sys; from engagement_book.workbench.desk.lab import open_lab; sys.exit(open_lab({self.port}, "
                f"{options!r}, rest={rest}))")
        start = time.perf_counter()
        self.said = open(folder / "lab.log", "w")
        self.process = subprocess.Popen([sys.executable, "-c", code], cwd=folder, env=self.env, stdout=self.said,
                                        stderr=subprocess.STDOUT)
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api?token=t", timeout=1)
                break
            except OSError:
                assert self.process.poll() is None and time.perf_counter() - start < 120, (
                    folder / "lab.log").read_text()[-3000:]
                time.sleep(.1)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.terminate()
        self.process.wait(30)
        self.said.close()

    def open(self, browser, path=""):
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.outside = []
        page.on("request",
                lambda r: None if re.match(r"(https?://(localhost|127\.0\.0\.1)[:/]|data:|blob:|ws)",
                                           r.url) else page.outside.append(r.url))
        page.goto(f"{self.url}/{path}?token=t")
        return page

    def python(self, code):
        done = subprocess.run([sys.executable, "-c", code], cwd=self.folder, env=self.env, capture_output=True,
                              text=True)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout


PANEL = ".jp-NotebookPanel:not(.lm-mod-hidden)"


def command(page, name, **args):
    page.evaluate(f"window.jupyterapp.commands.execute({name!r}, {json.dumps(args)})")


def scroll_to(page, id):
    "JupyterLab draws the cells that are near the screen."
    page.evaluate(f"window.jupyterapp.shell.currentWidget.content.setFragment('#cell-id={id}')")


def cell(page, words):
    return page.locator(f"{PANEL} .jp-Cell", has_text=words).first


def write_and_check(page, source):
    "Replace the stub or the last answer, run it and the check below."
    editor = cell(page, "def triple").locator(".cm-content")
    editor.click()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(source)
    page.keyboard.press("Shift+Enter")
    page.keyboard.press("Shift+Enter")


def saved(page, folder, words):
    "Save; wait until the file says so."
    command(page, "docmanager:save")
    path = folder / "work" / "01_tiny" / "01_one.ipynb"
    for _ in range(100):
        if words in path.read_text():
            return
        time.sleep(.1)
    raise AssertionError(f"{words!r} was not saved")


def test_the_way_of_a_learner(classroom, browser, capsys):
    ran(classroom)
    with Lab(classroom) as lab:
        page = lab.open(browser)
        page.wait_for_selector(".eb-start", timeout=60000)
        assert "/lab/tree/start.ipynb" in page.url
        assert "Start here: One" in page.locator(
            ".eb-next").inner_text() and "0 of 3 lessons run, 0 of 1 exercises right" in page.locator(
                ".eb-start").inner_text()

        page.locator(".eb-next a").click()
        page.wait_for_selector(f"{PANEL} h1:has-text('One')", timeout=30000)
        figure = cell(page, "light figure")
        figure.locator("p", has_text="light figure").wait_for(timeout=20000)
        assert figure.locator("p",
                              has_text="light figure").is_visible() and not figure.locator(
                                  "p", has_text="dark").is_visible(), "trusted: its style holds"
        scroll_to(page, "oracle")
        # what holds the answer is folded
        page.wait_for_selector(f"{PANEL} .jp-InputPlaceholder >> text=from hypothesis", timeout=10000)
        scroll_to(page, "title")

        page.locator(f"{PANEL} a", has_text="below").click()
        page.wait_for_function(
            "(() => { const h = [...document.querySelectorAll('h2')].find(h => h.textContent.includes('What goes "
            "wrong')); "
                               "const r = h && h.getBoundingClientRect(); return r && r.top >= 0 && r.bottom <= "
                               "innerHeight; })()", timeout=10000)

        command(page, "notebook:run-all-cells")
        page.wait_for_selector(f"{PANEL} .jp-OutputArea >> text=the end", timeout=60000)
        assert "This cell waits for your answer above: triple" in page.locator(PANEL).inner_text()
        assert "your turn" in cell(page, "check_triple").locator(".jp-OutputArea").last.inner_text()
        assert page.locator(
            f"{PANEL} [data-mime-type='application/vnd.jupyter.error'], {PANEL} "
            f"[data-mime-type='application/vnd.jupyter.stderr']").count() == 0

        scroll_to(page, "stub")
        write_and_check(page, "def triple(x):\n    return 2 * x")
        page.wait_for_selector(f"{PANEL} .eb-card >> text=not yet", timeout=60000)
        assert "doubled" in page.locator(f"{PANEL} .eb-card", has_text="not yet").inner_text()
        saved(page, classroom, "return 2 * x")
        said = lab.python("from engagement_book.workbench.desk.start import make_progress; make_progress()")
        assert "✗ three times (not yet: doubled)" in said and "0 of 1 exercises right" in said

        write_and_check(page, "def triple(x):\n    return x + 2 * x")
        page.wait_for_selector(f"{PANEL} .eb-card >> text=/triple.* right|right.*triple|✓/", timeout=60000)
        saved(page, classroom, "return x + 2 * x")

        page.locator(".lm-TabBar-tab", has_text="start.ipynb").click()
        cell(page, "import here").locator(".cm-content").click()
        page.keyboard.press("Shift+Enter")
        page.wait_for_selector(f"{PANEL} .eb-start >> text=1 of 1 exercises right", timeout=60000)
        assert page.outside == []
        page.close()

    path = classroom / "nbs" / "01_tiny" / "01_one.ipynb"
    path.write_text(path.read_text().replace("# One", "# One, improved"))
    ran(classroom)
    with Lab(classroom) as lab:
        assert "01_one: you edited it, so it stays" in (classroom / "lab.log").read_text()
        page = lab.open(browser)
        news = page.locator(".eb-news")
        news.wait_for(timeout=60000)
        assert "You edited 01_tiny/01_one, so it stays" in news.inner_text()
        news.locator("a", has_text="the new version").click()
        page.wait_for_selector(f"{PANEL} h1:has-text('One, improved')", timeout=60000)
        page.locator(".lm-TabBar-tab", has_text="start.ipynb").click()
        news.locator("a", has_text="yours").click()
        page.wait_for_selector(f"{PANEL} h1:has-text('One'):not(:has-text('improved'))", timeout=30000)
        page.close()
    theirs = nbformat.read(classroom / "work" / "01_tiny" / "01_one.ipynb", 4)
    assert next(c for c in theirs.cells if c.id == "stub").source == "def triple(x):\n    return x + 2 * x"
    found = sorted(p.name for p in (classroom / "work" / "01_tiny").glob("01_one*"))
    assert found == ["01_one.ipynb", "01_one.new.ipynb"]


def test_menus_in_chinese_are_one_click_away(classroom, browser):
    ran(classroom)
    with Lab(classroom) as lab:
        page = lab.open(browser)
        page.locator("button", has_text="中文菜单").click(timeout=60000)
        for _ in range(2):           # JupyterLab asks whether, and again before it reloads
            accept = page.locator(".jp-Dialog-button.jp-mod-accept, .jp-Dialog-button.jp-mod-warn").last
            try:
                accept.click(timeout=5000)
            except Exception:
                break
        page.wait_for_selector(".lm-MenuBar-itemLabel >> text=文件", timeout=60000)
        page.close()


def test_the_rest_arrives_behind_an_open_lab(classroom, browser):
    "A fresh clone: the first lesson has its results, the rest is built while one reads; what is open is left alone."
    change(classroom, "01_tiny/02_two", ("slow", "import time\ntime.sleep(15)"))
    with Lab(classroom, rest=True) as lab:
        first = nbformat.read(classroom / "work" / "01_tiny" / "01_one.ipynb", 4)
        assert any(c.outputs for c in first.cells if c.cell_type == "code"), "the first lesson was run"
        page = lab.open(browser, "lab/tree/01_tiny/02_two.ipynb")
        page.wait_for_selector(f"{PANEL} h1:has-text('Two')", timeout=60000)
        three, two = (classroom / "work" / "01_tiny" / f"{n}.ipynb" for n in ("03_three", "02_two"))
        for _ in range(1200):
            if '"text/html"' in three.read_text() and (
                classroom / "_build" / "executed" / "01_tiny" / "02_two.ipynb").exists():
                break
            time.sleep(.1)
        assert '"text/html"' in three.read_text(), (classroom / "_build" / "behind.log").read_text()
        assert "42" not in str(nbformat.read(two, 4).cells[1].outputs), "an open notebook is left alone"
        command(page, "kernelmenu:shutdown")
        page.goto("about:blank")
        sessions = f"http://127.0.0.1:{lab.port}/api/sessions?token=t"
        for s in json.load(urllib.request.urlopen(sessions)):
            urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{lab.port}/api/sessions/{s['id']}?token=t",
                                                          method="DELETE"))
        for _ in range(300):
            if "42" in str(nbformat.read(two, 4).cells[1].outputs):
                break
            time.sleep(.1)
        assert "42" in str(nbformat.read(two, 4).cells[1].outputs), "and gets its results when it is closed"
        page.close()
    time.sleep(1.5)
    done = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    assert not [line for line in done.splitlines() if "build_rest" in line
                and str(classroom) in line], "nothing runs on"


def test_a_lab_that_is_open_says_where_and_serves_the_site(classroom):
    ran(classroom)
    for page in ("index", "01_tiny/01_one"):
        path = classroom / "_build" / "site" / f"{page}.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"the page of {page}")
    with Lab(classroom) as lab:
        shown = nbformat.read(classroom / "work" / "start.ipynb", 4).cells[1].outputs[0].data["text/html"]
        link = f"{lab.url}/static/01_tiny/01_one.html"
        assert f'href="{link}"' in shown and urllib.request.urlopen(link).read() == b"the page of 01_tiny/01_one"
        said = lab.python("from engagement_book.workbench.desk.lab import open_lab; open_lab(1, '--allow-root')")
        assert said.startswith("JupyterLab is open already: http://") and f":{lab.port}/" in said
        said = subprocess.run(["ss", "-ltn"], capture_output=True,
                              text=True).stdout if os.path.exists(
                                  "/usr/bin/ss") or os.path.exists("/bin/ss") else f"127.0.0.1:{lab.port}"
        assert f"127.0.0.1:{lab.port}" in said and f"0.0.0.0:{lab.port}" not in said
