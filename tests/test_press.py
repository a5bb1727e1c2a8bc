"""The site in a real browser: no request leaves the page, search in two languages, dark mode, phone width, links,
alternative texts."""
import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import nbformat
import pytest

from engagement_book.workbench.cards import MIME
from engagement_book.workbench.engine.graph import chapters
from engagement_book.workbench.house import ROOT
from engagement_book.workbench.press import manifest, tables
from engagement_book.workbench.press.manifest import OUT
from engagement_book.workbench.press.tables import ledger_page, records_page


@pytest.fixture(scope="session")
def pages(book) -> list[Path]:
    "Every page of the site except Sphinx's own index pages."
    found = sorted(p for p in OUT.rglob("*.html") if "_static" not in p.parts
                   and p.name not in ("genindex.html", "search.html"))
    assert {f"{n}.html" for n in chapters()} <= {p.relative_to(OUT).as_posix() for p in found}
    return found


def open_page(browser, path, **kw):
    "A page with its requests to anywhere but files and its script errors recorded."
    page = browser.new_page(**kw)
    page.outside, page.errors = [], []
    page.on("request", lambda r: None if r.url.startswith(("file:", "data:", "blob:")) else page.outside.append(r.url))
    page.on("pageerror", lambda e: page.errors.append(str(e)))
    page.goto(path.as_uri() if isinstance(path, Path) else path, wait_until="load")
    if page.locator(".math").count():
        page.wait_for_selector("mjx-container", state="attached", timeout=60000)
    page.wait_for_timeout(200)
    return page


def test_formulas_and_diagrams_are_drawn(browser, pages):
    page = open_page(browser, OUT / "01_networks" / "01_mlp.html")
    assert page.locator("mjx-container svg").count() >= 10
    assert page.locator(".eb-diagram svg").count() >= 2
    page.close()


@pytest.mark.parametrize("words, expected",
                         [("optimizers", "optimizers"), ("cross entropy", "mlp"), ("用户参与度", "用户参与度"),
                          ("协同过滤", "协同过滤"),
                          ("Adam 优化", "Adam")])
def test_search_finds_in_both_languages(browser, pages, words, expected):
    page = open_page(browser, f"{(OUT / 'search.html').as_uri()}?q={words}")
    page.wait_for_selector("#search-results li", timeout=60000)
    page.wait_for_function(
        "document.querySelector('#search-results p.search-summary')?.textContent.match(/found|matching/i)",
        timeout=60000)
    assert page.locator("#search-results li").count() >= 1
    assert expected.lower() in page.locator("#search-results").inner_text().lower()
    assert page.outside == [] and page.errors == []
    page.close()


def test_dark_mode_changes_page_and_figures(browser, pages):
    page = open_page(browser, OUT / "01_networks" / "01_mlp.html", color_scheme="light")
    paper = "getComputedStyle(document.body).backgroundColor"
    shown = ("[...document.querySelectorAll('.eb-figure img, .eb-diagram > div')].filter(e => "
             "getComputedStyle(e).display !== 'none').map(e => e.className)")
    light = page.evaluate(paper), page.evaluate(shown)
    page.locator(".theme-switch-button:visible").first.click()
    page.locator(".theme-change-button[data-mode='dark']:visible").click()
    dark = page.evaluate(paper), page.evaluate(shown)
    assert light[0] != dark[0] and light[1] and set(light[1]) == {"eb-light"} and set(dark[1]) == {"eb-dark"}
    page.close()


def test_the_ledger_filters(browser, pages):
    page = open_page(browser, OUT / "ledger.html")
    rows = page.locator("#ledger tbody tr:visible")
    assert page.locator("#f-count").inner_text() == "485 of 485" and rows.count() == 0, "all are there, folded"
    page.select_option("#f-section", "2.3.3")
    assert rows.count() == 19 and page.locator("#f-count").inner_text() == "19 of 485"
    page.select_option("#f-kind", "formula")
    page.fill("#f-text", "bias correction")
    assert 1 <= rows.count() < 19
    page.close()


def test_a_settled_claim_links_to_its_card(browser, pages):
    page = open_page(browser, OUT / "ledger.html")
    page.fill("#f-text", "2.3.1-mlp-out")
    page.locator("#ledger tr", has_text="2.3.1-mlp-out").locator("a").first.click()
    page.wait_for_load_state()
    assert page.url.endswith("01_networks/01_mlp.html#claim-2.3.1-mlp-out")
    assert page.locator("[id='claim-2.3.1-mlp-out']").is_visible()
    page.close()


def test_previous_next_and_download(browser, pages):
    page = open_page(browser, OUT / "01_networks" / "02_optimizers.html")
    assert "mlp" in page.locator("a.left-prev").get_attribute("href")
    assert page.locator("a.right-next").count() == 1
    link = page.locator("a[href$='.ipynb']:not([href^='http'])").first.get_attribute("href")
    given = nbformat.read((OUT / "01_networks" / link).resolve(), 4)
    code = [c for c in given.cells if c.cell_type == "code"]
    assert "BEGIN SOLUTION" not in nbformat.writes(given) and sum(
        "your turn" in c.source for c in code) >= 2 and sum(bool(c.outputs) for c in code) > 20
    assert page.locator(
        ".eb-lab a").get_attribute("href") == "http://localhost:8888/lab/tree/01_networks/02_optimizers.ipynb"
    page.close()


class Links(HTMLParser):
    "Addresses, ids and images of a page."

    def __init__(self):
        super().__init__()
        self.hrefs, self.ids, self.bare = [], set(), []

    def handle_starttag(self, tag, attrs):
        a = dict(attrs)
        self.ids |= {a[k] for k in ("id", "name") if a.get(k)}
        if tag == "a" and a.get("href"):
            self.hrefs.append(a["href"])
        if tag == "img" and not (a.get("alt") or "").strip() and a.get("aria-hidden") != "true":
            self.bare.append(a.get("src", "")[:80])


def test_links_lead_somewhere_and_images_have_text(pages):
    assert_links_lead_somewhere(pages)


def assert_links_lead_somewhere(pages):
    parsed = {}
    for path in pages:
        parsed[path.resolve()] = links = Links()
        links.feed(path.read_text(encoding="utf-8"))
        assert not links.bare, (path, links.bare)
    for path, links in parsed.items():
        for href in links.hrefs:
            if re.match(r"[a-z]+:", href):
                continue
            where, anchor = urldefrag(unquote(href))
            target = (path.parent / where).resolve() if where else path
            assert target.exists(), f"{path.name}: {href}"
            if anchor and target in parsed:
                assert anchor in parsed[target].ids, f"{path.name}: {href}"


def test_pages_are_small(pages):
    for path in pages:
        assert path.stat().st_size <= 1.5e6, (path, path.stat().st_size)


def test_chips_show_measured_time_and_memory(pages):
    for name in chapters():
        if name.startswith(("01_", "04_")):
            assert re.search(r"<b>Measured</b> \d+ s, \d+ MB", (OUT / f"{name}.html").read_text(encoding="utf-8")), name


# ---- a small book, some of whose chapters went wrong
# ----------------------------------------------------------------------------------------

def run(folder, code: str, **env) -> subprocess.CompletedProcess:
    "Python code in a book's folder, with that folder's package and no data fetched."
    nowhere = {"ENGAGEMENT_BOOK_CACHE": str(folder / "no-data"), "PYTHONPATH": str(folder), "EB_CHAPTERS": ""}
    return subprocess.run([sys.executable, "-c", code], cwd=folder, env={**os.environ, **nowhere, **env},
                          capture_output=True, text=True)


def build_site(folder, names="", ok=True) -> str:
    "Build the site of a folder; what the build said."
    done = run(folder, "from engagement_book.workbench.press.site import make_site; make_site()", EB_CHAPTERS=names)
    assert (done.returncode == 0) == ok, done.stderr[-4000:]
    return done.stderr


def intact(folder) -> bool:
    with pytest.MonkeyPatch.context() as m:
        m.setattr(manifest, "OUT", folder / "_build" / "site")
        m.setattr(manifest, "MANIFEST", manifest.OUT / "manifest.json")
        return manifest.intact()


def has_run(folder, name: str, outputs: dict | None = None, unread: str = "") -> None:
    "Leave what an execution leaves: `outputs` by cell id; nothing of the cells from `unread` on."
    nb = nbformat.read(folder / "nbs" / f"{name}.ipynb", 4)
    shown, live = [], True
    for c in [c for c in nb.cells if c.cell_type == "code"]:
        live &= c.id != unread
        c.execution_count = 1 if live else None
        c.outputs = [nbformat.from_dict(o) for o in (outputs or {}).get(c.id, [])] if live else []
        shown += [{**o.data[MIME], "cell": c.id} for o in c.outputs if MIME in o.get("data", {})]
    for kind, text in (("executed", nbformat.writes(nb)), ("records", json.dumps(shown))):
        path = folder / "_build" / kind / (name + (".ipynb" if kind == "executed" else ".json"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def card(**data) -> dict:
    base = {"value": .81, "low": None, "high": None, "n": 1, "unit": "", "baseline": None, "published": None,
            "source": "", "protocol": ""}
    anchor = f'<div class="eb-card" id="{data["kind"]}-{data["name"]}">a card</div>'
    return {"output_type": "display_data", "metadata": {},
            "data": {MIME: {**base, **data}, "text/html": anchor, "text/plain": "a card"}}


ERROR = {"output_type": "error", "ename": "ZeroDivisionError", "evalue": "division by zero",
         "traceback": ["ZeroDivisionError: division by zero"]}
RED = "accuracy = 0.81 is outside its band 0.9 to 1"


def change(folder, name, *cells):
    "Add cells to a notebook of a book: text, or (id, code)."
    path = folder / "nbs" / f"{name}.ipynb"
    nb = nbformat.read(path, 4)
    for c in cells:
        nb.cells.append(nbformat.v4.new_markdown_cell(c, id=f"text-{len(nb.cells)}")
                        if isinstance(c, str) else nbformat.v4.new_code_cell(c[1], id=c[0]))
    nbformat.write(nb, path)


@pytest.fixture
def red_book(small_book):
    "One chapter with a red record, one that stopped, one that never ran, and links between them."
    shutil.copytree(ROOT / "nbs" / "_ext", small_book / "nbs" / "_ext", ignore=shutil.ignore_patterns("__pycache__"))
    (small_book / "images").mkdir()
    change(small_book, "index", "## The map\n\n<!-- map -->")
    change(small_book, "01_tiny/01_one", "Then [two](02_two.ipynb) and [three](03_three.ipynb#three).",
           ("hidden", "#| hide\nrecord()"))
    change(small_book, "01_tiny/02_two", ("exports", "#| default_exp tiny.two"), ("bad", "1 / 0"),
           ("later", "#| export\nprint('never')\ndef f(:"))
    record = card(kind="record", name="accuracy", band=[.9, 1], red=RED, origin="shake")
    has_run(small_book, "index")
    has_run(small_book, "01_tiny/01_one", {"hidden": [record]})
    has_run(small_book, "01_tiny/02_two",
            {"c0": [{"output_type": "stream", "name": "stdout", "text": "42\n"}], "bad": [ERROR]}, unread="later")
    report = small_book / "_build" / "failed" / "01_tiny" / "02_two.txt"      # what the build leaves beside it
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text("chapter 01_tiny/02_two stopped in cell 3: ZeroDivisionError: division by zero\n")
    return small_book


def html_of(folder, page: str) -> str:
    return (folder / "_build" / "site" / f"{page}.html").read_text(encoding="utf-8")


def test_a_red_result_does_not_take_the_site_away(red_book):
    build_site(red_book)
    one, two, three, start, records = (html_of(red_book, n)
                                       for n in ("01_tiny/01_one", "01_tiny/02_two", "01_tiny/03_three", "index",
                                                 "records"))
    assert f'<a href="#red-hidden">{RED}</a>' in one and 'id="red-hidden"' in one, "the banner leads to the card"
    assert 'id="record-accuracy"' in one, "a red card in a hidden cell is shown"
    assert '<a href="#stopped">stopped in cell ' in two and 'id="stopped"' in two
    assert "42" in two and "The chapter stopped here" in two and two.count(
        "ZeroDivisionError") >= 2, "it shows how far it came and the error"
    assert "It cannot be imported here" in html_of(
        red_book, "api/tiny.two"), "a module that is broken has a page of reference all the same"
    assert "has not been run here" in three and "make book CHAPTER=01_tiny/03_three" in three
    for page in (start, records):
        assert 'class="eb-red"' in page and RED in page and "01_tiny/02_two: stopped in cell " in page
    assert 'href="01_tiny/03_three.html"' in start.partition("Not run here")[2]
    for page in ("01_one", "02_two", "03_three"):
        assert re.search(rf'<li class="toctree-l1"><a class="reference internal" href="01_tiny/{page}.html">',
                         start), "the navigation has every chapter"
    assert 'href="02_two.html"' in one and 'href="03_three.html"' in one, "links into them work"
    assert_links_lead_somewhere(sorted((red_book / "_build" / "site").rglob("*.html")))


def test_a_selection_is_a_site_of_its_own(red_book):
    "A part that the code does not know, a link to a chapter that was removed, one to a chapter that is not selected."
    (red_book / "nbs" / "11_field_work").mkdir()
    shutil.copy(red_book / "nbs" / "01_tiny" / "01_one.ipynb", red_book / "nbs" / "11_field_work" / "01_day.ipynb")
    change(red_book, "11_field_work/01_day",
           "See [another `day`](02_day.ipynb#noon) and [one](../01_tiny/01_one.ipynb).")
    has_run(red_book, "11_field_work/01_day")
    build_site(red_book)
    start, day = html_of(red_book, "index"), html_of(red_book, "11_field_work/01_day")
    assert "Field work" in start and 'href="11_field_work/01_day.html"' in start
    assert re.search(
        r"See another <code[^>]*><span class=\"pre\">day</span></code> and <a [^>]*href=\"../01_tiny/01_one.html\"",
        day)

    build_site(red_book, "11_field_work")
    start, day = html_of(red_book, "index"), html_of(red_book, "11_field_work/01_day")
    assert not any('class="eb-red"' in html_of(red_book, n)
                   for n in ("11_field_work/01_day", "index", "records")), "what is red elsewhere is not on this site"
    assert "01_tiny" not in start and "and one." in day and "01_one" not in day
    top = red_book / "_build" / "site"
    assert not (top / "01_tiny" / "01_one.html").exists() and json.loads(
        (top / "manifest.json").read_text())["chapters"] == ["index", "11_field_work/01_day"]
    assert "01_tiny/01_one" in (red_book / "README.md").read_text(), "the README is that of the whole book"
    assert_links_lead_somewhere(sorted(top.rglob("*.html")))
    assert "no chapter or part 12_nowhere" in build_site(red_book, "12_nowhere", ok=False)


def test_records_show_origin_spread_and_margin(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "house", lambda *parts: tmp_path.joinpath(*parts))
    data = card(kind="record", name="accuracy", band=[.9, 1], red=RED, origin="shake", published=.95,
                source="someone2020", why="other split")["data"][MIME]
    cell = lambda label: re.search(rf'data-label="{re.escape(label)}"><div>(.*?)</div>',
                                   records_page({"p/c": [data]}))[1]
    assert cell("band, from").endswith("<small>shake</small>") and RED in cell("value, 95 % interval")
    assert "other split" in cell("published")
    assert cell("spread, margin (sd)") == "", "without a table of shakes there is no spread"
    (tmp_path / "data").mkdir()
    head = "chapter,name,runs,mean,sd,low,high,band_low,band_high,margin,origin\n"
    for row, spread, margin in [("12,.81,.01,.79,.84,.9,1,4.31,shake", "sd 0.01, 0.79 to 0.84 (12 runs)", "4.3"),
                                ("12,.81,0,.81,.81,.9,,inf,shake", "none in 12 runs", "∞")]:
        (tmp_path / "data" / "shake.csv").write_text(head + f"p/c,accuracy,{row}\n")
        assert cell("spread, margin (sd)") == f"<small>{spread}</small><br>{margin}"
    data.pop("origin")
    assert cell("band, from").endswith("<small>shake</small>"), "a card of an older run says nothing; the table does"


def test_a_claim_that_contradicts_the_ledger_is_not_counted_as_settled():
    green = {"kind": "claim", "id": "2.3.1-mlp-a1", "verdict": "refuted", "how": "executed", "found": "computed .88",
             "cell": "c"}
    red = {**green, "verdict": None, "red": "the ledger says refuted, here it holds"}
    page = ledger_page({"p/c": [green]})
    assert "\n1 of the 485 " in page and "computed .88" in page and 'class="eb-wrong"' not in page
    page = ledger_page({"p/c": [red]})
    assert "\n0 of the 485 " in page and '<span class="eb-wrong">the ledger says refuted, here it holds</span>' in page
    assert '<a href="p/c.html#claim-2.3.1-mlp-a1">p/c</a>' in page, "and is linked all the same"


def test_what_is_wrong_with_the_text_is_named_and_the_site_is_there(red_book):
    "A link that leads nowhere, and a claim that two chapters settle."
    change(red_book, "01_tiny/01_one", "[nowhere](nowhere.md)")
    claim = {"kind": "claim", "name": "x", "id": "2.3.1-mlp-a1", "verdict": "refuted", "how": "executed", "found": ""}
    for name in ("01_tiny/01_one", "01_tiny/03_three"):
        has_run(red_book, name, {"c0": [card(**claim)]})
    for _ in range(2):
        said = build_site(red_book, ok=False)
        assert "SiteError: the site is built, but 1 place" in said
        found = re.search(r"01_tiny/01_one\.ipynb:\d+: WARNING: .*nowhere", said)
        assert found, "said at every build, not only at the first"
        twice = "claim 2.3.1-mlp-a1 stands twice: in 01_tiny/01_one cell c0 and in 01_tiny/03_three cell c0"
        assert twice in html_of(red_book, "01_tiny/03_three")
        assert "One" in html_of(red_book, "01_tiny/01_one") and intact(red_book)


def test_a_damaged_site_is_noticed_and_made_again(red_book):
    "A page deleted, cut off or changed, files that pages need, a build killed inside Sphinx: none of it is trusted."
    top = red_book / "_build" / "site"
    assert not intact(red_book)
    build_site(red_book)
    assert intact(red_book)
    whole, kept = {p.relative_to(top) for p in top.rglob("*") if p.is_file()}, red_book / "kept"
    shutil.copytree(top, kept)
    cut = lambda: (top / "ledger.html").write_bytes((kept / "ledger.html").read_bytes()[:999])
    for damage in (lambda: (top / "01_tiny" / "02_two.html").unlink(), lambda: shutil.rmtree(top / "_static"),
                   lambda: (top / "manifest.json").write_text("{"), cut):
        damage()
        assert not intact(red_book)
        shutil.rmtree(top)
        shutil.copytree(kept, top)
        assert intact(red_book)
    (top / "01_tiny" / "02_two.html").unlink()
    cut()
    change(red_book, "index", "New words.")
    has_run(red_book, "index")
    killed = ("import os, engagement_book.workbench.press.site as s; s.subprocess.run = lambda *a, **k: os._exit(9); "
              "s.make_site()")
    assert run(red_book, killed).returncode == 9 and not intact(red_book)
    build_site(red_book)
    assert intact(red_book) and whole <= {p.relative_to(top) for p in top.rglob("*") if p.is_file()}
    assert (top / "ledger.html").read_bytes() == (
        kept / "ledger.html").read_bytes() and "New words." in html_of(red_book, "index")


def test_an_unchanged_book_gives_the_same_pages(red_book):
    "Or Sphinx would read them all again at every build."
    code = ("import hashlib, json; from engagement_book.workbench.press.manifest import selection; from "
            "engagement_book.workbench.press.site import _results, all_pages; "
            "print(hashlib.sha256(json.dumps(all_pages(_results(selection([])))).encode()).hexdigest())")
    change(red_book, "01_tiny/01_one",
           ("exercise", "def f(x):\n    ### BEGIN SOLUTION\n    return x\n    ### END SOLUTION"))
    has_run(red_book, "01_tiny/01_one")
    assert run(red_book, code).stdout == run(red_book, code).stdout != ""
