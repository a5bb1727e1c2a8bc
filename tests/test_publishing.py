"""What the page "Publishing and teaching from this book" promises: the site below any path, workflows that call what
there is, the book as PDF, a lesson as slides, how to cite it, the map of lessons."""
import functools
import http.server
import json
import os
import re
import shutil
import threading

import nbformat
import pytest
import yaml
from conftest import CHROMIUM, FLAGS
from test_press import assert_links_lead_somewhere, build_site, change, has_run, html_of, red_book, run  # noqa: F401

from engagement_book.workbench.engine.graph import chapters
from engagement_book.workbench.house import ROOT, is_lesson
from engagement_book.workbench.press.citing import bibtex, book_facts, citation_cff
from engagement_book.workbench.press.manifest import OUT
from engagement_book.workbench.press.reading import about_lessons, minutes
from engagement_book.workbench.press.slides import deck

LESSONS = [n for n in chapters() if is_lesson(n)]
TARGETS = set(re.findall(r"^([a-z]+(?: [a-z]+)*):", (ROOT / "Makefile").read_text(), re.M))
TARGETS = {t for line in TARGETS for t in line.split()}
WORKFLOWS = {p.name: yaml.safe_load(p.read_text(encoding="utf-8"))
             for p in (ROOT / ".github" / "workflows").glob("*.yml")}


# ---- workflows and commands

def steps(flow):
    return [s for job in flow["jobs"].values() for s in job["steps"]]


def test_workflows_call_what_there_is():
    assert WORKFLOWS.keys() == {"test.yml", "pages.yml"}
    for name, flow in WORKFLOWS.items():
        for command in (s["run"] for s in steps(flow) if "run" in s):
            word, *rest = command.split()
            if word == "make":
                assert rest and {r for r in rest if "=" not in r} <= TARGETS, (name, command)
            else:
                assert os.access(ROOT / word, os.X_OK), (name, command)
        assert all(re.fullmatch(r"actions/[\w-]+@v\d+", s["uses"]) for s in steps(flow) if "uses" in s)
        assert all(job["timeout-minutes"] <= 90 for job in flow["jobs"].values())


def test_pages_are_published_from_main_alone_with_the_least_permissions():
    flow = WORKFLOWS["pages.yml"]
    on = flow.get("on", flow.get(True))       # YAML 1.1 reads `on` as true
    assert on["push"] == {"branches": ["main"]} and on.keys() == {"push", "workflow_dispatch"}
    assert flow["permissions"] == {"contents": "read"}
    build, deploy = flow["jobs"]["build"], flow["jobs"]["deploy"]
    assert "permissions" not in build and deploy["permissions"] == {"pages": "write", "id-token": "write"}
    assert build["if"] == deploy["if"] == "github.ref == 'refs/heads/main'" and deploy["needs"] == "build"
    given = next(s for s in build["steps"] if "upload-pages-artifact" in s.get("uses", ""))
    assert ROOT / given["with"]["path"] == OUT
    commands = [s.get("run") for s in build["steps"]]
    assert commands.index("make book") < commands.index("make pdf") < build["steps"].index(given)


def test_every_command_that_is_written_down_is_a_target():
    texts = {p: p.read_text(encoding="utf-8") for p in (ROOT / "README.md", ROOT / "CONTRIBUTING.md")}
    for name in ("index", "publishing"):
        cells = nbformat.read(chapters()[name], 4).cells
        texts[name] = "\n".join(c.source for c in cells if c.cell_type == "markdown")
    for where, text in texts.items():
        written = set(re.findall(r"(?:^|`)make (?:[A-Z]+=\S+ )?([a-z]+)", text, re.M))
        assert "book" in written and written <= TARGETS, where
    assert {"pdf", "slides", "student", "grade", "new"} <= TARGETS
    assert "](publishing.ipynb)" in texts["index"] and "](nbs/publishing.ipynb)" in texts[ROOT / "README.md"]


# ---- below any path

@pytest.fixture
def served(tmp_path, book):
    "The site below /some/path of a server on this computer; the requests it got, with their status."
    top = tmp_path / "www" / "some"
    top.mkdir(parents=True)
    (top / "path").symlink_to(OUT)
    got = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_request(self, code="-", size="-"):
            got.append((self.path, int(code)))

    handler = functools.partial(Handler, directory=str(tmp_path / "www"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/some/path", got
    server.shutdown()


def test_the_site_works_below_a_path_of_a_server(browser, served):
    base, got = served
    page, outside, errors = browser.new_page(), [], []
    page.on("request", lambda r: None if r.url.startswith((base, "data:", "blob:")) else outside.append(r.url))
    page.on("pageerror", lambda e: errors.append(str(e)))
    page.goto(f"{base}/index.html")
    page.locator("article a[href='01_networks/01_mlp.html']").first.click()
    page.wait_for_url(f"{base}/01_networks/01_mlp.html")
    page.wait_for_selector("mjx-container svg", state="attached")
    page.locator("a.right-next").click()
    page.wait_for_url(f"{base}/01_networks/02_optimizers.html")
    page.keyboard.press("Control+k")
    page.locator("dialog input[name=q]").first.fill("反向传播")
    page.keyboard.press("Enter")
    page.wait_for_selector("#search-results li a")
    page.locator("#search-results li a").first.click()
    page.wait_for_url(f"{base}/01_networks/01_mlp.html*")
    for path in ("lessons", "glossary", "ledger", "publishing", "api/networks.mlp", "data/ml-100k"):
        page.goto(f"{base}/{path}.html")
    page.wait_for_load_state("networkidle")
    assert outside == [] and errors == []
    missing = {path for path, code in got if code >= 400 and path != "/favicon.ico"}
    assert missing == set() and len(got) > 20
    page.close()


def test_the_site_holds_no_data_set(book):
    kinds = {p.suffix for p in OUT.rglob("*") if p.is_file()}
    assert not kinds & {".csv", ".tsv", ".gz", ".zip", ".parquet", ".pkl", ".dat", ".npz", ".whl"}


# ---- citation, repository, minutes, map

def test_there_is_one_source_of_version_and_citation(book):
    facts = book_facts()
    assert (ROOT / "CITATION.cff").read_text(encoding="utf-8") == citation_cff(facts)
    start = (OUT / "index.html").read_text(encoding="utf-8")
    box = re.search(r'<aside class="eb-cite".*?</aside>', start, re.S)[0]
    assert f"Version {facts['version']}" in box and bibtex(facts).split("\n")[1] in box.replace("&#39;", "'")
    assert facts["url"] or "eb-repository" not in (OUT / "01_networks" / "01_mlp.html").read_text(encoding="utf-8")


def test_a_repository_in_the_settings_gives_links_and_none_gives_none(red_book):  # noqa: F811
    build_site(red_book)
    pages = ("index", "01_tiny/01_one", "01_tiny/02_two")
    assert not any("example.org" in html_of(red_book, n) or "Edit the source" in html_of(red_book, n) for n in pages)
    assert "repository" not in (red_book / "CITATION.cff").read_text()
    file = red_book / "settings.ini"
    url = "https://gitlab.example.org/us/book"
    file.write_text(re.sub(r"^git_url =.*$", f"git_url = {url}", file.read_text(), flags=re.M))
    build_site(red_book)
    assert f'<a href="{url}">repository</a>' in html_of(red_book, "index")
    assert f"repository-code: {url}\n" in (red_book / "CITATION.cff").read_text()
    for n in pages[1:]:
        assert f'href="{url}/-/edit/main/nbs/{n}.ipynb"' in html_of(red_book, n)


def test_the_head_of_a_lesson_says_what_the_lint_counts(book):
    said = about_lessons(LESSONS)
    for name in LESSONS:
        counted = round(minutes(nbformat.read(chapters()[name], 4).cells))
        shown = re.search(r"<b>Read</b> (\d+) min", (OUT / f"{name}.html").read_text(encoding="utf-8"))
        assert counted == said[name].minutes == int(shown[1]) and counted <= 35, name


def test_the_map_has_every_lesson_and_leads_to_it(browser, book):
    said = about_lessons(LESSONS)
    order = {n: i for i, n in enumerate(LESSONS)}
    assert all(order[o] < order[n] for n, a in said.items() for o in a.needs)
    page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="light")
    page.goto((OUT / "lessons.html").as_uri())
    boxes = page.locator(".eb-lessons .eb-light a")
    assert {boxes.nth(i).get_attribute("href") for i in range(boxes.count())} == {f"{n}.html" for n in LESSONS}
    maps = page.locator(".eb-lessons")
    assert maps.count() == len({n.partition("/")[0] for n in LESSONS})
    for one in maps.all():
        assert one.evaluate("e => e.scrollWidth <= e.clientWidth"), "a map is cut off at the right"
        drawn = {a.get_attribute("href")[:-5]: a.locator("rect").first.bounding_box()
                 for a in one.locator(".eb-light a").all()}
        assert any(all(drawn[o][way] < box[way] for n, box in drawn.items() for o in said[n].needs if o in drawn)
                   for way in "yx"), "what a lesson needs stands above it, or, throughout the map, at its left"
    assert page.evaluate("Math.min(...[...document.querySelectorAll('.eb-lessons .eb-light text')].map(t => "
                         "t.getBoundingClientRect().height / (t.querySelectorAll('tspan').length || 1)))") >= 12
    page.locator(".eb-lessons .eb-light a[href='02_language/03_attention.html']").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/02_language/03_attention.html")
    page.close()


# ---- the book as PDF

needs_chromium = pytest.mark.skipif(
    not CHROMIUM and not os.environ.get("CI"),
    reason="no Chromium on this computer; CI has one (no expiry: optional software)")
MAKE = "import sys; from engagement_book.workbench.press.pdf import make_pdf; sys.exit(make_pdf('01_tiny'))"
LONG = "print('" + "x" * 300 + "end')"


@pytest.fixture
def paper_book(red_book):  # noqa: F811
    "Three lessons, one with a formula, Chinese, a very long line of code, and links."
    text = "## A formula (公式)\n\n$$a = b$$\n\nSee [two](02_two.ipynb) and [the ledger](../ledger.md)."
    change(red_book, "01_tiny/01_one", text, ("long", LONG), ("folded", "#| code-fold: true\nin_a_fold = 7"))
    has_run(red_book, "01_tiny/01_one", {"c0": [{"output_type": "stream", "name": "stdout", "text": "42\n"}]})
    return red_book


@needs_chromium
def test_the_book_is_one_pdf(paper_book):
    from pypdf import PdfReader

    done = run(paper_book, MAKE, EB_CHAPTERS="")
    assert done.returncode == 0, done.stdout + done.stderr
    reader = PdfReader(paper_book / "_build" / "engagement_book.pdf")
    text = [p.extract_text() for p in reader.pages]
    plain = [re.sub(r"\s+", "", t) for t in text]
    assert f"{len(text)} pages" in done.stdout and reader.metadata.title == book_facts()["title"]
    flat = []

    def walk(items, depth=0):
        for o in items:
            if isinstance(o, list):
                walk(o, depth + 1)
            else:
                flat.append((depth, o.title, reader.get_destination_page_number(o) + 1))

    walk(reader.outline)
    lessons = {title: at for depth, title, at in flat if depth == 1}
    assert list(lessons) == ["One", "Two", "Three", "Glossary (术语表)", "Bibliography"]
    assert "A formula (公式)" in [title for depth, title, _ in flat if depth == 2]
    for title, at in lessons.items():
        assert re.sub(r"\s+", "", title) in plain[at - 1], (title, at)
        said = re.escape(re.sub(r"\s+", "", title))
        assert re.search(rf"^{said}{at}$", re.sub(r"[^\S\n]+", "", text[1]), re.M), "the contents name the page"
        assert text[at - 1].split("\n")[0].strip() == str(at), "and the page is numbered so"
    whole = "".join(plain)
    assert "x" * 300 + "end" in whole, "code is wrapped, not cut"
    assert "公式" in whole and "JupyterLab" not in whole and "42" in whole and "in_a_fold=7" in whole
    links = [a.get_object() for a in reader.pages[lessons["One"] - 1].get("/Annots", [])]
    uris = [str(a["/A"].get("/URI", "")) for a in links if "/A" in a]
    inside = [a for a in links if a.get("/A", {}).get("/S") == "/GoTo"]
    assert inside and not [u for u in uris if u.startswith("file:")]
    assert inside[0]["/A"]["/D"][0].get_object() == reader.pages[lessons["Two"] - 1].get_object()


@needs_chromium
def test_the_site_offers_the_pdf_as_long_as_it_is_this_book(paper_book):
    site = paper_book / "_build" / "site"
    assert run(paper_book, MAKE).returncode == 0
    assert 'href="engagement_book.pdf"' in html_of(paper_book, "index") and (site / "engagement_book.pdf").exists()
    build_site(paper_book, "01_tiny")
    assert (site / "engagement_book.pdf").exists(), "nothing has changed"
    change(paper_book, "01_tiny/01_one", "New words.")
    has_run(paper_book, "01_tiny/01_one")
    build_site(paper_book, "01_tiny")
    assert "engagement_book.pdf" not in html_of(paper_book, "index") and not (site / "engagement_book.pdf").exists()


def test_without_chromium_make_pdf_says_what_to_install(small_book):
    done = run(small_book, MAKE, PATH="/nowhere", CHROMIUM="")
    assert done.returncode == 2 and "apt install chromium" in done.stdout
    assert not (small_book / "_build" / "site").exists()


# ---- slides

def open_deck(browser, tmp_path, name):
    (tmp_path / "alone").mkdir()
    file = tmp_path / "alone" / "deck.html"
    file.write_text(deck(name), encoding="utf-8")
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    page.outside, page.errors = [], []
    page.on("request", lambda r: None if r.url.startswith(("data:", "blob:")) or r.url.startswith(file.as_uri())
            else page.outside.append(r.url))
    page.on("pageerror", lambda e: page.errors.append(str(e)))
    page.goto(file.as_uri())
    page.wait_for_selector("body[data-ready]", timeout=60000)
    return page


@pytest.mark.parametrize("name", ["01_networks/01_mlp", "04_recommend/06_hybrid"])
def test_a_lesson_fits_its_slides(browser, book, tmp_path, name):
    page = open_deck(browser, tmp_path, name)
    titles = [t for c in nbformat.read(chapters()[name], 4).cells if c.cell_type == "markdown"
              for t in re.findall(r"^#{1,3} (.+)$", c.source, re.M)]
    begun = page.evaluate("slides.filter(s => s.querySelector('h1, h2:not(.again), h3')).length")
    assert begun == len(titles), "each heading begins a slide"
    code = page.evaluate("document.querySelectorAll('.cell_input').length")
    assert code >= 10 and page.outside == [] and page.errors == []
    for k in range(page.evaluate("slides.length")):
        page.evaluate(f"show({k}, true)")
        over, wide, size = page.evaluate(
            "(() => { const s = slides[now], b = s.firstElementChild; return [b.scrollHeight - s.clientHeight,"
            " b.scrollWidth - s.clientWidth, parseInt(s.style.fontSize)]; })()")
        assert over <= 0 and wide <= 0 and size >= 16, (k + 1, over, wide, size)
    page.close()


def test_a_speaker_has_the_keyboard(browser, book, tmp_path):
    page = open_deck(browser, tmp_path, "01_networks/01_mlp")
    at = lambda: page.locator("#at").inner_text().split(" / ")
    last = at()[1]
    hidden = "steps(slides[now]).filter(e => !e.classList.contains('shown')).length"
    page.keyboard.press("End")
    assert at() == [last, last]
    page.keyboard.press("Home")
    assert at() == ["1", last]
    waiting = page.evaluate("slides.findIndex(s => steps(s).length > 0)")
    while int(at()[0]) - 1 < waiting:
        page.keyboard.press("ArrowRight")
    assert page.evaluate(hidden) >= 1 and not page.locator(".slide.now .step").first.is_visible()
    page.keyboard.press(" ")
    assert page.locator(".slide.now .step").first.is_visible() and at()[0] == str(waiting + 1)
    while page.evaluate(hidden):
        page.keyboard.press("PageDown")
    page.keyboard.press("ArrowRight")
    assert at()[0] == str(waiting + 2)
    page.keyboard.press("ArrowLeft")
    assert at()[0] == str(waiting + 1) and page.evaluate(hidden) == 0, "going back shows what was shown"
    page.evaluate(f"show({waiting}, false)")
    page.keyboard.press("o")
    assert page.evaluate(hidden) == 0
    page.keyboard.press("o")
    assert page.evaluate(hidden) >= 1
    page.close()


def test_slides_are_asked_for_by_name(capsys, book):
    from engagement_book.workbench.press.slides import make_slides

    assert make_slides("no_such_lesson") == 2 and "no chapter fits" in capsys.readouterr().out
    assert make_slides("") == make_slides("00_workbench/01_house") == 2
    assert "make slides CHAPTER=" in capsys.readouterr().out


# ---- a part of one's own

def test_a_new_part_is_in_the_map_and_the_search(red_book):  # noqa: F811
    (red_book / "nbs" / "11_field_work").mkdir()
    shutil.copy(red_book / "nbs" / "01_tiny" / "01_one.ipynb", red_book / "nbs" / "11_field_work" / "01_day.ipynb")
    change(red_book, "11_field_work/01_day", "## Notebooks in the rain\n\nUmbrellas.")
    has_run(red_book, "11_field_work/01_day")
    build_site(red_book, "11_field_work")
    assert 'href="11_field_work/01_day.html"' in html_of(red_book, "lessons")
    code = ("import json; from engagement_book.workbench.press.search import search_engine; "
            "from engagement_book.workbench.press.manifest import OUT; e = search_engine(); "
            "e.eval((OUT / 'searchindex.js').read_text()); "
            "print(e.eval('JSON.stringify(BookSearch.find(\"umbrella\"))'))")
    found = json.loads(run(red_book, code).stdout)
    assert [r["path"] for r in found] == ["11_field_work/01_day"]
    assert_links_lead_somewhere(sorted((red_book / "_build" / "site").rglob("*.html")))


def test_flags_keep_the_browser_at_home():
    assert "--disable-background-networking" in FLAGS
