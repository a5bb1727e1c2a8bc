"""The site in a real browser: no request leaves the page, search in two languages, dark mode, phone width, links, alternative texts."""
import os
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest

from engagement_book.workbench import build
from engagement_book.workbench.site import OUT

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--allow-file-access-from-files"]


@pytest.fixture(scope="session")
def pages(book) -> list[Path]:
    "Every page of the site except Sphinx's own index pages."
    found = sorted(p for p in OUT.rglob("*.html") if "_static" not in p.parts and p.name not in ("genindex.html", "search.html"))
    assert {f"{n}.html" for n in build.chapters()} <= {p.relative_to(OUT).as_posix() for p in found}
    return found


@pytest.fixture(scope="session")
def browser():
    if not CHROMIUM:
        # The pages are tested in CI, where `.ci/run` installs Chromium; on a reader's computer without one there is nothing to start.
        if os.environ.get("CI"):
            pytest.fail("CI needs Chromium: .ci/run installs it")
        pytest.skip("no Chromium on this computer; CI has one (no expiry: optional software)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as p:
        b = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield b
        b.close()


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


def test_no_request_leaves_a_page_no_script_and_no_formula_fails(browser, pages):
    for path in pages:
        page = open_page(browser, path)
        assert page.outside == [] and page.errors == [], path
        assert page.locator("mjx-merror, [data-mjx-error]").count() == 0, path
        page.close()


def test_formulas_and_diagrams_are_drawn(browser, pages):
    page = open_page(browser, OUT / "01_networks" / "01_mlp.html")
    assert page.locator("mjx-container svg").count() >= 10
    assert page.locator(".eb-diagram svg").count() >= 2
    page.close()


@pytest.mark.parametrize("words, expected", [("optimizers", "optimizers"), ("cross entropy", "mlp"), ("用户参与度", "用户参与度"), ("协同过滤", "协同过滤"), ("Adam 优化", "Adam")])
def test_search_finds_in_both_languages(browser, pages, words, expected):
    page = open_page(browser, f"{(OUT / 'search.html').as_uri()}?q={words}")
    page.wait_for_selector("#search-results li", timeout=60000)
    page.wait_for_function("document.querySelector('#search-results p.search-summary')?.textContent.match(/found|matching/i)", timeout=60000)
    assert page.locator("#search-results li").count() >= 1
    assert expected.lower() in page.locator("#search-results").inner_text().lower()
    assert page.outside == [] and page.errors == []
    page.close()


def test_dark_mode_changes_page_and_figures(browser, pages):
    page = open_page(browser, OUT / "01_networks" / "01_mlp.html", color_scheme="light")
    paper = "getComputedStyle(document.body).backgroundColor"
    shown = "[...document.querySelectorAll('.eb-figure img, .eb-diagram > div')].filter(e => getComputedStyle(e).display !== 'none').map(e => e.className)"
    light = page.evaluate(paper), page.evaluate(shown)
    page.locator(".theme-switch-button:visible").first.click()
    page.locator(".theme-change-button[data-mode='dark']:visible").click()
    dark = page.evaluate(paper), page.evaluate(shown)
    assert light[0] != dark[0] and light[1] and set(light[1]) == {"eb-light"} and set(dark[1]) == {"eb-dark"}
    page.close()


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_no_page_is_wider_than_the_screen(browser, pages, width):
    page = browser.new_page(viewport={"width": width, "height": 800})
    for path in pages:
        page.goto(path.as_uri())
        assert page.evaluate("document.scrollingElement.scrollWidth") <= width, path
    page.close()


def test_the_ledger_filters(browser, pages):
    page = open_page(browser, OUT / "ledger.html")
    rows = page.locator("#ledger tbody tr:visible")
    assert rows.count() == 485
    page.select_option("#f-section", "2.3.3")
    assert rows.count() == 19 and page.locator("#f-count").inner_text() == "19 of 485"
    page.select_option("#f-kind", "formula")
    page.fill("#f-text", "bias correction")
    assert 1 <= rows.count() < 19
    page.close()


def test_a_settled_claim_links_to_its_card(browser, pages):
    page = open_page(browser, OUT / "ledger.html")
    page.locator("#ledger tr", has_text="2.3.1-mlp-out").locator("a").first.click()
    page.wait_for_load_state()
    assert page.url.endswith("01_networks/01_mlp.html#claim-2.3.1-mlp-out")
    assert page.locator("[id='claim-2.3.1-mlp-out']").is_visible()
    page.close()


def test_previous_next_and_download(browser, pages):
    page = open_page(browser, OUT / "01_networks" / "02_optimizers.html")
    assert "mlp" in page.locator("a.left-prev").get_attribute("href")
    assert page.locator("a.right-next").count() == 1
    link = page.locator("a[href$='.ipynb']").first.get_attribute("href")
    downloaded = (OUT / "01_networks" / link).resolve()
    assert downloaded.read_bytes() == build.chapters()["01_networks/02_optimizers"].read_bytes()
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
    for name in build.chapters():
        if name.startswith(("01_", "04_")):
            assert re.search(r"<b>Measured</b> \d+ s, \d+ MB", (OUT / f"{name}.html").read_text(encoding="utf-8")), name
