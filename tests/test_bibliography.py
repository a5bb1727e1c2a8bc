"""Every source can be opened: entries parse, are complete, and carry a link that the site shows."""
import ast
import datetime
import html
import re
from collections import Counter
from urllib.parse import urlsplit

import nbformat
import pytest
from pybtex.database import parse_string
from pybtex.plugin import find_plugin

from engagement_book.workbench.engine.graph import chapters, code_of
from engagement_book.workbench.house import ROOT
from engagement_book.workbench.load import manifest

TEXT = (ROOT / "nbs" / "references.bib").read_text(encoding="utf-8")
# The article states neither a year nor an address, and may not be redistributed.
ARTICLE = "article"
# Parts of host names: a registry is where a package is fetched, not where it is described.
REGISTRIES = {"pypi", "pythonhosted", "npmjs", "debian", "crates", "rubygems", "anaconda"}
DOI = re.compile(r"10\.\d{4,9}/[^\s{}\\\"<>]+")
EPRINT = re.compile(r"\d{2}(0[1-9]|1[0-2])\.\d{4,5}")
LINKS = {"doi": "https://doi.org/{}", "eprint": "https://arxiv.org/abs/{}", "url": "{}"}


@pytest.fixture(scope="module")
def entries():
    "The parsed entries, key → entry."
    return parse_string(TEXT, "bibtex").entries


@pytest.fixture(scope="module")
def shown() -> dict[str, str]:
    "Each entry as the site's style writes it, key → HTML."
    conf = (ROOT / "nbs" / "conf.py").read_text(encoding="utf-8")
    name = re.search(r'^bibtex_default_style = "(\w+)"', conf, re.M)[1]
    style = find_plugin("pybtex.style.formatting", name)()
    backend = find_plugin("pybtex.backends", "html")()
    bibliography = style.format_bibliography(parse_string(TEXT, "bibtex"))
    return {e.key: html.unescape(e.text.render(backend)) for e in bibliography}


def links(entry) -> dict[str, str]:
    "The fields of an entry that the site makes clickable."
    return {name: entry.fields[name] for name in LINKS if name in entry.fields}


def cited() -> set[tuple[str, str]]:
    "(file, key) of every citation in notebooks' text and code and in the list of data sets."
    found = {("datasets.toml", d["citation"]) for d in manifest().values()}
    for name, path in chapters().items():
        for cell in nbformat.read(path, 4).cells:
            if cell.cell_type == "markdown":
                for keys in re.findall(r"\{cite:\w+\}`([^`]+)`", cell.source):
                    found |= {(name, key.strip()) for key in keys.split(",")}
        # The workbench's own notebooks name sources that do not exist, to show the refusal.
        for node in ast.walk(ast.parse("" if name.startswith("00_") else code_of(path))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("claim", "record"):
                for k in node.keywords:
                    if k.arg == "source" and isinstance(k.value, ast.Constant) and k.value.value:
                        found.add((name, k.value.value))
    return found


def test_no_key_is_used_twice():
    keys = [key.lower() for key in re.findall(r"^@\w+\{([^,\s]+),", TEXT, re.M)]
    assert len(keys) == len(re.findall(r"^@", TEXT, re.M)) > 100
    assert [key for key, n in Counter(keys).items() if n > 1] == []


def test_entries_have_title_author_and_year(entries):
    for key, e in entries.items():
        assert e.fields.get("title", "").strip("{} "), key
        names = [*map(str, e.persons.get("author", [])), e.fields.get("organization", "")]
        assert any(n.strip() for n in names), key
        if key != ARTICLE:
            assert re.fullmatch(r"\d{4}", e.fields.get("year", "")), key
            assert 1900 < int(e.fields["year"]) <= datetime.date.today().year, key


def test_every_entry_but_the_article_has_a_link(entries):
    assert [key for key, e in entries.items() if not links(e)] == [ARTICLE]
    assert {"howpublished", "note"} <= set(map(str.lower, entries[ARTICLE].fields))


def test_links_are_well_formed(entries):
    for key, e in entries.items():
        given = links(e)
        if "doi" in given:
            assert DOI.fullmatch(given["doi"]), key
        if "eprint" in given:
            assert EPRINT.fullmatch(given["eprint"]), key
        assert e.fields.get("archivePrefix") == ("arXiv" if "eprint" in given else None), key
        if "url" in given:
            url = urlsplit(given["url"])
            assert url.scheme in ("http", "https") and not url.username, key
            assert re.fullmatch(r"([a-z0-9-]+\.)+[a-z]{2,}", url.netloc), key
            assert not re.search(r"[\s{}\\]", given["url"]), key
            # These have fields of their own, which the style writes shorter.
            assert not url.netloc.endswith(("doi.org", "arxiv.org")), key


def test_no_link_hides_in_another_field(entries):
    for key, e in entries.items():
        for name in set(e.fields) - set(LINKS) - {"archivePrefix"}:
            assert not re.search(r"https?:|doi:|arxiv|10\.\d{4,}/", e.fields[name], re.I), (key, name)


def test_no_link_leads_to_a_package_registry(entries):
    for key, e in entries.items():
        for value in e.fields.values():
            for host in re.findall(r"[a-z0-9-]+(?:\.[a-z0-9-]+)+", value.lower()):
                assert not REGISTRIES & set(host.split(".")), (key, host)


def test_links_can_be_clicked_on_the_site(entries, shown):
    assert shown.keys() == entries.keys()
    for key, e in entries.items():
        for name, value in links(e).items():
            assert f'href="{LINKS[name].format(value)}"' in shown[key], (key, name)


def test_every_cited_key_exists(entries):
    found = cited()
    assert len({key for _, key in found}) > 100
    assert sorted(f for f in found if f[1] not in entries) == []


def test_entries_that_were_wrong_stay_right(entries):
    luo = [str(p) for p in entries["luo2019pkuseg"].persons["author"]]
    assert luo == ["Luo, Ruixuan", "Xu, Jingjing", "Zhang, Yi", "Zhang, Zhiyuan", "Ren, Xuancheng", "Sun, Xu"]
    assert entries["recommenders2024"].fields["year"] == "2025"
    assert entries["yu2002pku"].fields["pages"] == "51--66"
