"""The package: exported from the notebooks, imports one way, light, clean."""
import ast
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import time
from configparser import ConfigParser

import nbformat
import pytest

from engagement_book.workbench import load
from engagement_book.workbench.engine.graph import chapters, code_of, imported_modules
from engagement_book.workbench.house import ROOT, import_order


def test_the_export_is_in_sync(tmp_path):
    for name in ("settings.ini", "pyproject.toml", "nbs", "engagement_book", "setup.py"):
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, tmp_path / name)
    tracked = {p.relative_to(ROOT / "engagement_book"): p.read_text(encoding="utf-8")
               for p in (ROOT / "engagement_book").rglob("*.py")}
    for p in (tmp_path / "engagement_book").rglob("*.py"):
        if p.name != "__init__.py":
            p.unlink()
    subprocess.run([shutil.which("nbdev_export", path=sys.exec_prefix + "/bin")], cwd=tmp_path, check=True,
                   capture_output=True)
    fresh = {p.relative_to(tmp_path / "engagement_book"): p.read_text(encoding="utf-8")
             for p in (tmp_path / "engagement_book").rglob("*.py")}
    assert fresh == tracked


@pytest.mark.parametrize("name", chapters())
def test_notebooks_are_clean(name):
    nb = nbformat.read(chapters()[name], 4)
    nbformat.validate(nb)
    assert set(nb.metadata) <= {"kernelspec"}
    for c in nb.cells:
        assert not c.metadata
        assert c.cell_type != "code" or (not c.outputs and c.execution_count is None)


def test_nbdev_clean_leaves_what_the_test_above_asks_for(tmp_path):
    "Outputs, counts and metadata go; a clean notebook is not touched."
    for name in ("settings.ini", "pyproject.toml", "setup.py"):
        shutil.copy(ROOT / name, tmp_path / name)
    clean = {p.relative_to(ROOT): p.read_text(encoding="utf-8") for p in chapters().values()}
    for path, text in clean.items():
        nb = nbformat.reads(text, 4)
        for c in nb.cells:
            c.metadata = {"tags": ["x"], "collapsed": True}
            if c.cell_type == "code":
                c.execution_count, c.outputs = 3, [nbformat.v4.new_output("stream", text="said")]
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(nbformat.writes(nb), encoding="utf-8")
    for _ in range(2):
        subprocess.run([shutil.which("nbdev_clean", path=sys.exec_prefix + "/bin")], cwd=tmp_path, check=True,
                       capture_output=True)
        assert {path: json.loads((tmp_path / path).read_text(encoding="utf-8"))
                for path in clean} == {path: json.loads(text) for path, text in clean.items()}


def test_generated_files_are_committed(book):
    "README.md and images/ are written by the build; in CI, on a clean clone, they must be the committed ones."
    from engagement_book.workbench.press.contents import readme

    assert (ROOT / "README.md").read_text(encoding="utf-8") == readme()
    if os.environ.get("CI"):
        changed = subprocess.run(["git", "status", "--porcelain", "README.md", "images", "engagement_book", "nbs"],
                                 cwd=ROOT, capture_output=True, text=True, check=True).stdout
        assert changed == ""


def test_imports_run_one_way():
    order = import_order()
    assert order[:3] == ["workbench", "networks", "language"]
    for path in (ROOT / "engagement_book").rglob("*.py"):
        parts = path.relative_to(ROOT / "engagement_book").parts
        if len(parts) < 2:
            continue
        for module in imported_modules(path.read_text(encoding="utf-8"), ".".join(("engagement_book", *parts[:-1]))):
            part = module.split(".")[1]
            assert order.index(part) <= order.index(parts[0]), f"{path.name} imports {module}"


def test_nbdev_test_passes_in_the_workbench():
    "The tools' notebooks run in nbdev's own shell too, which has no kernel."
    cmd = [shutil.which("nbdev_test", path=sys.exec_prefix + "/bin"), "--path", "nbs/00_workbench", "--n_workers", "1"]
    done = subprocess.run(cmd, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def test_the_package_is_light():
    "`import engagement_book` loads neither torch nor pandas nor Matplotlib, whatever the clock says."
    heavy = ("import sys, engagement_book; print([m for m in ('torch', 'pandas', 'matplotlib', 'sklearn', "
             "'hypothesis', 'numpy') if m in sys.modules])")
    assert subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True,
                          check=True).stdout.strip() == "[]"


def test_ruff_finds_nothing():
    done = subprocess.run([sys.executable, "-m", "ruff", "check", "."], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]


def test_no_name_of_a_machine_in_tracked_files():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True,
                             check=True).stdout.split("\n")
    for name in filter(None, tracked):
        path = ROOT / name
        if path.suffix in (".ipynb", ".py", ".md", ".toml", ".ini", ".lock",
                           "") and path.is_file() and name != "tests/test_package.py":
            assert not re.search(r"/(?:home|Users|root)/\w", path.read_text(encoding="utf-8")), name


def requirements() -> dict[str, list[str]]:
    "Requirements of settings.ini: those of the package under '', and one list per extra."
    config = ConfigParser(delimiters=["="])
    config.read(ROOT / "settings.ini", encoding="utf-8")
    return {k.removesuffix("requirements").rstrip("_"): v.split()
            for k, v in config["DEFAULT"].items() if k.endswith("requirements")}


def locked() -> dict[str, str]:
    "Locked version of each package."
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    return dict(line.lower().replace("_", "-").split("==") for line in lines if line and not line.startswith("#"))


def test_what_make_test_needs_is_locked():
    names = {re.split(r"[=<>\[]", w)[0].lower().replace("_", "-")
             for extra, found in requirements().items() if extra not in ("spark", "postgres") for w in found}
    assert names <= locked().keys(), names - locked().keys()


def test_a_reader_needs_neither_the_lab_nor_the_site_nor_the_peers():
    found = requirements()
    assert {"", "lab", "site", "bench", "dev", "spark", "postgres"} == found.keys()
    names = {extra: {re.split(r"[=<>\[]", w)[0] for w in words} for extra, words in found.items()}
    assert "jupyterlab" in names["lab"] and "sphinx" in names["site"] and "gensim" in names["bench"]
    assert not names[""] & set().union(*(n for extra, n in names.items() if extra))


PYTHONS = ["3.11.2", "3.12.0", "3.13.0"]         # the oldest release of each that we say the book runs on


def test_the_lock_installs_on_every_python_that_is_promised():
    "Each locked package says which Python it wants; 3.11.2 is Debian 12's own."
    from packaging.specifiers import SpecifierSet

    refused = []
    for name, version in locked().items():
        meta = importlib.metadata.metadata(name)
        assert meta["Version"].partition(
            "+")[0] == version, f"{name} {meta['Version']} is installed and {version} locked: make .venv/.installed"
        refused += [(name, version, python)
                    for python in PYTHONS if not SpecifierSet(meta.get("Requires-Python", "")).contains(python)]
    assert not refused


def test_the_pythons_are_the_same_everywhere():
    minor = [v.rpartition(".")[0] for v in PYTHONS]
    make, workflow = (ROOT / "Makefile").read_text(), (ROOT / ".github" / "workflows" / "test.yml").read_text()
    assert re.search(r"^PYTHONS := (.+)$", make, re.M)[1].split() == minor
    assert re.findall(r'"(3\.\d+)"', workflow) == minor and "run: .ci/run" in workflow
    assert f"min_python = {minor[0]}\n" in (ROOT / "settings.ini").read_text()
    assert f"{sys.version_info[0]}.{sys.version_info[1]}" in minor
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(v in readme for v in (PYTHONS[0], *minor[1:]))


@pytest.mark.parametrize("version, goes_on", [("3.10.9", False), ("3.11.2", True), ("3.13.1", True), ("3.14.0", False)])
def test_make_refuses_a_python_it_does_not_know(tmp_path, version, goes_on):
    for name in ("Makefile", "requirements.lock", "setup.py", "settings.ini"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "nbs").mkdir()
    fake = tmp_path / "python"
    code = f"import sys; sys.version_info = ({version.replace('.', ', ')}); exec(sys.argv[1])"
    fake.write_text(
        f'#!/bin/sh\n[ "$1" = -m ] && {{ echo "makes a venv"; exit 9; }}\nexec {sys.executable} -c "{code}" "$2"\n')
    fake.chmod(0o755)
    done = subprocess.run(["make", f"PYTHON={fake}", ".venv/.installed"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode and ("makes a venv" in done.stdout) == goes_on, done.stdout + done.stderr
    assert goes_on or f"tested on Python 3.11 3.12 3.13; {fake} is {version.rpartition('.')[0]}" in done.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    "The package from its wheel, in a folder that has nothing else of the book."
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("installed")
    ignore = shutil.ignore_patterns("__pycache__", "cache", "*.gz", "*.egg-info")
    for name in ("settings.ini", "pyproject.toml", "setup.py", "README.md", "engagement_book", "data",
                 "nbs/references.bib", "nbs/_static/fonts"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree(ROOT / name, source / name, ignore=ignore)
         if (ROOT / name).is_dir() else shutil.copy(ROOT / name, source / name))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    for cmd in ([*pip, "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "-w", source / "dist",
                 source],
                [*pip, "install", "--quiet", "--no-deps", "--no-index", "--target", target, "--find-links",
                 source / "dist", "engagement_book"]):
        done = subprocess.run(cmd, cwd=source, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
    return target


READER = """
import importlib, pkgutil, sys
class Absent:
    "A reader's computer: no JupyterLab, no Sphinx, no peers, no build tools."
    def find_spec(self, name, *_):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(name, name=name)
ABSENT = set("jupyterlab ipywidgets sphinx myst_nb pytask nbdev execnb gensim surprise implicit lightgbm "
             "ranx faiss jieba tokenizers pyspark psycopg".split())
sys.meta_path.insert(0, Absent())
import engagement_book
assert engagement_book.__file__.startswith(sys.argv[1]), engagement_book.__file__
names = [m.name for m in pkgutil.walk_packages(engagement_book.__path__, "engagement_book.")]
for name in names:
    if ".checks." not in name:       # they hold exercises against the peers, which a clone has
        importlib.import_module(name)
from engagement_book.workbench import claim, house, load
from engagement_book.workbench.verbs import Check, beats, record
print(len([n for n in names if ".workbench." in n]), len(claim.ledger()), "kingma2015adam" in claim.citations(),
      len(load.manifest()), load.cache_dir())
print(len(load.load("cdnow").purchases), house.house("data", "glossary.csv").exists())
try:
    load.load("fashion-mnist")
except load.DataError as e:
    print(e)
"""


def test_a_wheel_is_enough_for_a_reader(installed, tmp_path):
    cache = tmp_path / "user" / "engagement_book" / "data" / "cache"
    env = {k: v for k, v in os.environ.items() if k not in ("ENGAGEMENT_BOOK_CACHE", "PYTHONPATH")}
    env |= {"PYTHONPATH": str(installed), "XDG_CACHE_HOME": str(tmp_path / "user")}
    cache.mkdir(parents=True)
    archive = load.archive("cdnow", load.entry("cdnow"))
    shutil.copy(archive, cache)
    empty = tmp_path / "empty"
    empty.mkdir()
    done = subprocess.run([sys.executable, "-c", READER, str(installed)], cwd=empty, env=env, capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    first, second, third = done.stdout.strip().splitlines()
    modules, rest = first.split(" ", 1)
    # all but the package itself)
    assert int(modules) == len(list((ROOT / "engagement_book" / "workbench").rglob("*.py"))) - 1
    assert rest == f"485 True {len(load.manifest())} {cache}" and second == "69659 True"
    assert third.startswith("'fashion-mnist': data/fashion-mnist is not part of the installed package")
    assert not list(empty.iterdir())


def test_the_lock_has_no_local_versions():
    assert not re.search(r"\+|@ |://", (ROOT / "requirements.lock").read_text())


def test_code_cells_parse_without_magics():
    for path in chapters().values():
        ast.parse(code_of(path))


def test_import_takes_a_moment_only():
    "Median of five: generous, because it only has to catch an import of torch by accident (seconds)."
    times = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import engagement_book"], check=True)
        times.append(time.perf_counter() - start)
    assert sorted(times)[2] < 1


@pytest.mark.parametrize("name", chapters())
def test_links_between_chapters_lead_somewhere(name):
    "On the site a link to an absent chapter is plain words and nobody would notice; so it is noticed here."
    here = chapters()[name].parent
    for c in nbformat.read(chapters()[name], 4).cells:
        if c.cell_type == "markdown":
            for target in re.findall(r"\]\(([^()\s:#]+\.ipynb)(?:#\S*)?\)", c.source):
                assert (here / target).resolve() in chapters().values(), f"{c.source[:60]!r} links to {target}"
