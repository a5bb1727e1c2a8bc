"""The package: exported from the notebooks, imports one way, light, clean."""
import ast
import os
import re
import shutil
import subprocess
import sys
import time

import nbformat
import pytest

from engagement_book.workbench import build
from engagement_book.workbench.house import ROOT

ORDER = ["workbench", "networks", "language", "behavior", "recommend", "marketing", "community", "service", "responsible"]


def test_the_export_is_in_sync(tmp_path):
    for name in ("settings.ini", "pyproject.toml", "nbs", "engagement_book", "setup.py"):
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, tmp_path / name)
    tracked = {p.relative_to(ROOT / "engagement_book"): p.read_text(encoding="utf-8") for p in (ROOT / "engagement_book").rglob("*.py")}
    for p in (tmp_path / "engagement_book").rglob("*.py"):
        if p.name != "__init__.py":
            p.unlink()
    subprocess.run([shutil.which("nbdev_export", path=sys.exec_prefix + "/bin")], cwd=tmp_path, check=True, capture_output=True)
    fresh = {p.relative_to(tmp_path / "engagement_book"): p.read_text(encoding="utf-8") for p in (tmp_path / "engagement_book").rglob("*.py")}
    assert fresh == tracked


@pytest.mark.parametrize("name", build.chapters())
def test_notebooks_are_clean(name):
    nb = nbformat.read(build.chapters()[name], 4)
    nbformat.validate(nb)
    assert set(nb.metadata) <= {"kernelspec"}
    for c in nb.cells:
        assert set(c.metadata) <= {"tags"}
        assert c.cell_type != "code" or (not c.outputs and c.execution_count is None)


def test_generated_files_are_committed(book):
    "README.md and images/ are written by the build; in CI, on a clean clone, they must be the committed ones."
    from engagement_book.workbench.site import readme

    assert (ROOT / "README.md").read_text(encoding="utf-8") == readme()
    if os.environ.get("CI"):
        changed = subprocess.run(["git", "status", "--porcelain", "README.md", "images", "engagement_book", "nbs"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        assert changed == ""


def test_imports_run_one_way():
    for path in (ROOT / "engagement_book").rglob("*.py"):
        parts = path.relative_to(ROOT / "engagement_book").parts
        if len(parts) < 2:
            continue
        for module in build.imported_modules(path.read_text(encoding="utf-8"), f"engagement_book.{parts[0]}"):
            part = module.split(".")[1]
            assert ORDER.index(part) <= ORDER.index(parts[0]), f"{path.name} imports {module}"


def test_the_package_is_light():
    "`import engagement_book` loads neither torch nor pandas nor Matplotlib, whatever the clock says."
    heavy = "import sys, engagement_book; print([m for m in ('torch', 'pandas', 'matplotlib', 'sklearn', 'hypothesis', 'numpy') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_ruff_finds_nothing():
    done = subprocess.run([sys.executable, "-m", "ruff", "check", "."], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]


def test_no_name_of_a_machine_in_tracked_files():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    for name in filter(None, tracked):
        path = ROOT / name
        if path.suffix in (".ipynb", ".py", ".md", ".toml", ".ini", ".lock", "") and path.is_file() and name != "tests/test_package.py":
            assert not re.search(r"/(?:home|Users|root)/\w", path.read_text(encoding="utf-8")), name


def test_what_make_test_needs_is_locked():
    locked = {re.split(r"[=\[]", line)[0].lower().replace("_", "-") for line in (ROOT / "requirements.lock").read_text().splitlines()}
    wanted = re.findall(r"^(?:dev_)?requirements = (.+)$", (ROOT / "settings.ini").read_text(), re.M)
    names = {re.split(r"[=<>\[]", w)[0].lower().replace("_", "-") for line in wanted for w in line.split()}
    assert names <= locked, names - locked


def test_the_lock_has_no_local_versions():
    assert not re.search(r"\+|@ |://", (ROOT / "requirements.lock").read_text())


def test_code_cells_parse_without_magics():
    for path in build.chapters().values():
        ast.parse(build.code_of(path))


def test_import_takes_a_moment_only():
    "Median of five: generous, because it only has to catch an import of torch by accident (seconds)."
    times = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import engagement_book"], check=True)
        times.append(time.perf_counter() - start)
    assert sorted(times)[2] < 1
