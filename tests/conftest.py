"""The tests read a built book. The first one that asks for it builds it (content-hashed, so an up-to-date book costs
a second)."""
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from engagement_book.workbench.engine.graph import chapters
from engagement_book.workbench.engine.results import all_cards
from engagement_book.workbench.house import ROOT

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--allow-file-access-from-files"]


def run_pytask(folder: Path, *args: str, **env: str) -> subprocess.CompletedProcess:
    "The build in a folder, with that folder's package."
    cmd = [sys.executable, "-m", "pytask", *args]
    return subprocess.run(cmd, cwd=folder,
                          env={**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "160", "EB_BUILD": "", **env},
                          capture_output=True, text=True)


@pytest.fixture(scope="session")
def book() -> dict[str, list[dict]]:
    "Cards of every chapter of the freshly built book."
    code = "import sys; from engagement_book.workbench.press.book import make_book; sys.exit(make_book())"
    (ROOT / "_build").mkdir(exist_ok=True)
    with FileLock(ROOT / "_build" / "tests.lock"):      # two workers of pytest may ask for it
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "EB_BUILD": ""},
                              capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    found = all_cards()
    assert found.keys() == chapters().keys()
    return found


@pytest.fixture
def small_book(tmp_path: Path) -> Path:
    "A copy of the house with four small notebooks: `two` uses the module of `one`, `three` uses neither."
    import nbformat

    for name in ("settings.ini", "task_book.py", "requirements.lock", "pyproject.toml", "setup.py"):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "engagement_book", tmp_path / "engagement_book",
                    ignore=shutil.ignore_patterns("__pycache__", "networks", "recommend"))
    shutil.copytree(ROOT / "data", tmp_path / "data", ignore=shutil.ignore_patterns("cache", "*.gz"))
    (tmp_path / "data" / "cache").symlink_to(os.environ.get("ENGAGEMENT_BOOK_CACHE") or ROOT / "data" / "cache")
    (tmp_path / "engagement_book" / "tiny").mkdir()
    (tmp_path / "engagement_book" / "tiny" / "__init__.py").write_text("")
    (tmp_path / "engagement_book" / "tiny" / "one.py").write_text("def double(x):\n    return 2 * x\n")
    for name in ("_static", "_sphinx", "_templates"):
        shutil.copytree(ROOT / "nbs" / name, tmp_path / "nbs" / name)
    for name in ("references.bib", "conf.py"):
        shutil.copy(ROOT / "nbs" / name, tmp_path / "nbs" / name)
    cells = {
        "index": ["# Small book\n\n> Four notebooks."],
        "01_tiny/01_one": ["# One\n\n> Text.", "from engagement_book.tiny.one import double\ndouble(2)"],
        "01_tiny/02_two": ["# Two\n\n> Text.", "from engagement_book.tiny.one import double\nprint(double(21))"],
        "01_tiny/03_three": ["# Three\n\n> Text.",
                             "from engagement_book.workbench.claim import claim\nclaim('2.3.1-mlp-a1', got=.880797)"],
    }
    for name, (text, *code) in cells.items():
        nb = nbformat.v4.new_notebook(metadata={"kernelspec": {"name": "python3", "display_name": "python3"}})
        nb.cells = [nbformat.v4.new_markdown_cell(text, id="title"),
                    *(nbformat.v4.new_code_cell(c, id=f"c{i}") for i, c in enumerate(code))]
        path = tmp_path / "nbs" / f"{name}.ipynb"
        path.parent.mkdir(exist_ok=True)
        nbformat.write(nb, path)
    return tmp_path


@pytest.fixture(scope="session")
def browser():
    if not CHROMIUM:
        # The pages are tested in CI, where `.ci/run` installs Chromium; on a reader's computer without one there is
        # nothing to start.
        if os.environ.get("CI"):
            pytest.fail("CI needs Chromium: .ci/run installs it")
        pytest.skip("no Chromium on this computer; CI has one (no expiry: optional software)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as p:
        b = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield b
        b.close()
