"""The three floors of a chapter: a lesson one reads in one sitting, its checks, and the article beside it."""
import ast
import bisect
import importlib
import re
from itertools import pairwise

import nbformat
import pytest

from engagement_book.workbench.engine.graph import chapters
from engagement_book.workbench.engine.run import product
from engagement_book.workbench.house import is_article, is_checks, is_lesson
from engagement_book.workbench.load import manifest
from engagement_book.workbench.press.cells import directives
from engagement_book.workbench.press.reading import is_shown, minutes

NAMES = list(chapters())
LESSONS = [n for n in NAMES if is_lesson(n)]
CHECKS = [n for n in NAMES if is_checks(n)]
ARTICLE = [n for n in NAMES if is_article(n)]
SHOWN, MINUTES, CLAIMS, COLUMNS, COLUMNS_ELSEWHERE = 60, 35, 3, 88, 100


def cells(name):
    return nbformat.read(chapters()[name], 4).cells


def tree_of(source: str):
    return ast.parse("\n".join("" if re.match(r"\s*[%!]", line) else line for line in source.split("\n")))


def calls(cell, name: str) -> list:
    return [n for n in ast.walk(tree_of(cell.source)) if isinstance(n, ast.Call)
            and getattr(n.func, "id", getattr(n.func, "attr", "")) == name]


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_is_read_in_one_sitting(name):
    shown = [c for c in cells(name) if is_shown(c)]
    assert len(shown) <= SHOWN
    assert minutes(shown) <= MINUTES


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_shows_its_proofs_as_single_lines(name):
    code = [c for c in cells(name) if c.cell_type == "code"]
    assert not [c.id for c in code if calls(c, "Check") or calls(c, "prove")]
    claims = [i for i, c in enumerate(code) for _ in calls(c, "claim")]
    checks = [i for i, c in enumerate(code) if re.search(r"^check\.\w+\(", c.source, re.M)]
    assert checks and len(claims) <= CLAIMS and all(i > checks[0] for i in claims)


@pytest.mark.parametrize("name", LESSONS)
def test_every_exported_name_has_its_line_in_the_lesson(name):
    "check.softmax(softmax) stands on the page; a method of a class may have a check of its own name."
    text = "\n".join(c.source for c in cells(name))
    module = importlib.import_module("engagement_book." + re.search(r"default_exp (\S+)", text)[1])
    checked = set(re.findall(r"^\s*check\.\w+\((\w+)\)", text, re.M))
    checked |= set(re.findall(r"^\s*check\.(\w+)\(", text, re.M))
    public = [n for n in module.__all__ if callable(getattr(module, n))
              and getattr(module, n).__module__ == module.__name__]
    # parts of a class that is checked
    layers = {n for n in public if re.search(rf"\b{n}\(", text) and isinstance(getattr(module, n), type)}
    assert [n for n in public if n not in checked | layers] == []


@pytest.mark.parametrize("name", LESSONS)
def test_exported_code_can_be_opened(name):
    "Code of the package may be folded, never kept from the reader."
    assert not [c.id for c in cells(name) if c.cell_type == "code" and {"export", "echo"} <= directives(c.source)[0]]


@pytest.mark.parametrize("name", LESSONS + CHECKS + ARTICLE)
def test_code_fits_the_page(name):
    code = [c for c in cells(name) if c.cell_type == "code"]
    narrow = is_lesson(name)
    assert not [(c.id, line) for c in code for line in c.source.split("\n")
                if len(line) > (COLUMNS if narrow and is_shown(c) else COLUMNS_ELSEWHERE)]


@pytest.mark.parametrize("name", LESSONS + CHECKS + ARTICLE)
def test_nothing_is_wrapped_by_a_machine(name):
    "No lambda, parameter list, loop target or index over two lines; one assignment a line where it is read."
    faults = []
    for c in cells(name):
        if c.cell_type != "code":
            continue
        for n in ast.walk(tree_of(c.source)):
            over = lambda a, b=None: a.lineno != (b or a).end_lineno
            if isinstance(n, ast.Lambda) and over(n):
                faults.append(f"{c.id}: lambda over two lines: {ast.unparse(n)}")
            if isinstance(n, (ast.For, ast.comprehension)) and over(n.target):
                faults.append(f"{c.id}: target over two lines: {ast.unparse(n.target)}")
            if isinstance(n, ast.Subscript) and over(n.slice) and not isinstance(n.slice, ast.Call):
                faults.append(f"{c.id}: index over two lines: {ast.unparse(n.slice)}")
            several = (isinstance(n, ast.Assign) and isinstance(n.targets[0], ast.Tuple)
                       and isinstance(n.value, ast.Tuple))
            if several and is_lesson(name) and is_shown(c):
                faults.append(f"{c.id}: several assignments in one line: {ast.unparse(n)}")
    assert not faults, "\n".join(faults)


# --- numbers in prose ---

def numbers(text: str) -> list[str]:
    text = re.sub(r"(?<=\d)[,_   ](?=\d{3}(?!\d))", "", text)
    return re.findall(r"(?<![\w.])\d+(?:\.\d+)?|(?<![\w.])\.\d+", text)


def said(cell) -> str:
    "Code of an executed cell and what it printed, without the pixels of pictures and the widths of cards."
    out = [o.get("text", "") or " ".join(str(v) for k, v in o.get("data", {}).items() if k.startswith("text/"))
           for o in cell.outputs]
    pixels = re.compile(r'(?:src="data:|style="|width=")[^"]*"|<style.*?</style>', re.S)
    return pixels.sub("", " ".join([cell.source, *out]))


def prose(text: str) -> str:
    """Prose without what carries its own source: paragraphs that cite, line numbers of the article, code, addresses,
    the chip row, and formulas with two numbers and an operator, which a reader can work out again."""
    text = "\n\n".join(p for p in text.split("\n\n") if "{cite:" not in p and not p.startswith("**Article**"))
    operator = re.compile(r"[-+=/]|\\cdot|\\frac|\\approx|\\times")
    text = re.sub(r"(\$\$?)[^$]+\1", lambda m: "" if len(numbers(m[0])) > 1 and operator.search(m[0]) else m[0], text)
    return re.sub(
        r"lines? \d+(?:(?:,| to| and|–|-) ?\d+)*|\]\([^)]*\)|`[^`]*`|<[^>]*>|\b\d\.\d+\.\d[\d.]*|\b[Ss]ections? "
        r"\d[\d.]*", "", text)


def unbound(text: str, known: list[float]) -> list[str]:
    "Numbers of a text that round no known number; counts to twenty and years need no source."
    def bound(number):
        value, digits = float(number), len(number.partition(".")[2])
        for scale in (1, 100, .01):      # a share may be written in per cent
            tolerance = (.5 * 10 ** -digits + 1e-9) / scale
            k = bisect.bisect_left(known, value / scale - tolerance)
            if k < len(known) and known[k] <= value / scale + tolerance:
                return True
        return False

    small = lambda n: "." not in n and (float(n) <= 20 or 1900 <= float(n) <= 2030)
    return [n for n in numbers(prose(text)) if not small(n) and not bound(n)]


def test_a_number_is_bound_if_it_rounds_one_that_is_there():
    known = sorted(float(n) for n in numbers("reached 0.8827 of 60_000, p = .034"))
    assert unbound("0.88 and 88.3 % of 60,000, 3.4 %, 12 of them in 2017, lines 453 to 455", known) == []
    assert unbound("0.89 and 61,000\n\nAs {cite:t}`y` says, 0.5.", known) == ["0.89", "61000"]


@pytest.mark.parametrize("name", LESSONS + CHECKS + ARTICLE)
def test_numbers_in_prose_are_bound(book, name):
    executed = nbformat.read(product("executed", name), 4).cells
    data = " ".join(str(manifest()[d]) for d in manifest() if re.search(rf"\b{re.escape(d)}\b", executed[0].source))
    shown = " ".join(said(c) for c in executed if c.cell_type == "code")
    known = sorted({float(n) for n in numbers(f"{shown} {data}")})
    faults = {c.id: found for c in executed if c.cell_type == "markdown" if (found := unbound(c.source, known))}
    assert not faults


# --- anatomy ---

@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_has_its_anatomy(book, name):
    texts = [c.source for c in cells(name) if c.cell_type == "markdown"]
    assert re.match(
        r"# .*[\u4e00-\u9fff].*\n\n> .+\n\n\*\*Article\*\* .+ · \*\*Data\*\* .+ · \*\*Level\*\* \d of 3 · "
        r"\*\*Takes\*\* ", texts[0]), texts[0][:200]
    whole = "\n\n".join(texts)
    orientation = [whole.find(f"**{words}**") for words in ("In this chapter", "You need", "It leads to")]
    assert -1 not in orientation and all(a < b for a, b in pairwise(orientation)) and orientation[0] < 3000
    order = [m for m in ("What goes wrong", "What the article says", "Exercises", "Where to go from here")
             if m != "What the article says" or any("claim(" in c.source for c in cells(name) if c.cell_type == "code")]
    places = [re.search(rf"^## {m}", whole, re.M) for m in order]
    assert all(places), [m for m, p in zip(order, places, strict=True) if not p]
    assert all(a.start() < b.start() for a, b in pairwise(places))
    part, _, chapter = name.rpartition("/")
    assert f"](checks/{chapter}.ipynb" in whole and whole.count("### Exercise") >= 2
    shown = book[name]
    assert [c for c in shown if c["kind"] == "figure"] and [c for c in shown if c["kind"] == "check"]
    data = re.search(r"\*\*Data\*\* (.+?) ·", texts[0])[1].split(", ")
    assert all(d in manifest() or d.startswith("generated") for d in data), data


@pytest.mark.parametrize("name", CHECKS)
def test_checks_say_whose_they_are(name):
    first = cells(name)[0].source
    part, chapter = name.split("/checks/")
    assert first.startswith("# Checks") and f"](../{chapter}.ipynb" in first and "\n> " in first
    assert re.search(r"^from engagement_book\.\S+ import \w+ as lesson", "\n".join(c.source for c in cells(name)), re.M)


@pytest.mark.parametrize("name", ARTICLE)
def test_an_article_page_counts_and_repairs(book, name):
    text = "\n".join(c.source for c in cells(name))
    assert re.match(r"# Statement by statement: .*[\u4e00-\u9fff]", text) and "tally(" in text
    assert [c for c in book[name] if c["kind"] == "claim"]
    assert not [c.id for c in cells(name) if "export" in directives(c.source)[0]]


@pytest.mark.parametrize("name", ARTICLE)
def test_consequences_stand_below_their_root(book, name):
    claims = [c for c in book[name] if c["kind"] == "claim"]
    for i, c in enumerate(claims):
        if c.get("after"):
            assert c["after"] in [b["id"] for b in claims[:i]], c["id"]


def test_every_lesson_has_its_checks_and_every_section_one_page():
    assert LESSONS == sorted(n.replace("/checks/", "/") for n in CHECKS)
    sections = [re.match(r"10_article/((\d+_)+)", n)[1] for n in ARTICLE]
    assert len(sections) == len(set(sections))
