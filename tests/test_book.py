"""The book: every chapter runs offline, every record is in its band, the ledger is consistent, every check was
proved."""
import ast
import dataclasses
import importlib
import inspect
import json
import re

import nbformat
import pytest

from engagement_book.workbench import claim
from engagement_book.workbench.engine.graph import chapters, code_of
from engagement_book.workbench.engine.results import red, summary_rows
from engagement_book.workbench.engine.run import default_engine, product, run_notebook, without_times
from engagement_book.workbench.engine.shake import CONDITIONS, margin, read_table
from engagement_book.workbench.house import ROOT, is_article, is_checks, is_lesson

CHAPTERS = [n for n in chapters() if is_lesson(n)]
CHECKS = [n for n in chapters() if is_checks(n)]
ARTICLE = [n for n in chapters() if is_article(n)]
FLOORS = CHAPTERS + CHECKS + ARTICLE
WORKBENCH = [n for n in chapters() if n.startswith("00_")]


def of_kind(book, kind, names=None):
    return [(name, c) for name, shown in book.items() if names is None or name in names
            for c in shown if c["kind"] == kind]


def cells(name):
    return nbformat.read(chapters()[name], 4).cells


def test_every_chapter_ran_and_left_its_three_files(book):
    for name in book:
        for kind in ("executed", "records", "stats"):
            assert product(kind, name).exists()
        executed = nbformat.read(product("executed", name), 4)
        assert not [o for c in executed.cells if c.cell_type == "code" for o in c.outputs if o.output_type == "error"]
        assert [c.source for c in executed.cells] == [c.source for c in cells(name)]


def test_kernels_refused_the_network(book):
    "The build blocks sockets in every kernel; 11_offline shows the value it found in its own."
    shown = nbformat.read(product("executed", "00_workbench/engine/02_offline"),
                          4).cells[-1].outputs[0].data["text/plain"]
    assert shown == "'1'"


def test_a_chapter_that_reaches_out_fails(tmp_path):
    from papermill.exceptions import PapermillExecutionError

    nb = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("import urllib.request\nurllib.request.urlopen('http://192.0.2.1')")],
                                  metadata={"kernelspec": {"name": "python3", "display_name": "python3"}})
    nbformat.write(nb, tmp_path / "out.ipynb")
    with pytest.raises(PapermillExecutionError, match="tried to reach '192.0.2.1'"):
        run_notebook(tmp_path / "out.ipynb")


def test_memory_stays_under_two_gigabytes(book):
    for row in summary_rows():
        assert 0 < row["MB"] < 2000, row


def text_and_numbers(nb) -> tuple[str, list[float]]:
    "What an executed notebook says, split into words and numbers; pictures and times left out."
    text = re.sub(r"base64,[^\"]+", "base64,", nbformat.writes(without_times(nb)))
    number = r"(?<![\w.#])-?\d+\.?\d*(?:e[+-]?\d+)?(?![\w])"
    return re.sub(number, "#", text), [float(n) for n in re.findall(number, text)]


@pytest.mark.parametrize("name", ["00_workbench/04_check", "01_networks/01_mlp", "04_recommend/01_evaluation"])
def test_both_engines_give_the_same_outputs(book, name):
    """The built book came from one engine; the other must give the same notebook, times apart.

    To the byte where no float32 network is trained. Training sums in another order when its arrays lie elsewhere
    in memory, as they do in a forked process: there the words must be equal, and every number to five digits.
    """
    other = "papermill" if default_engine() == "fork" else "fork"
    nb, _ = run_notebook(chapters()[name], other)
    built = nbformat.read(product("executed", name), 4)
    if name.startswith("00_"):
        assert nbformat.writes(without_times(nb)) == nbformat.writes(without_times(built))
    (words, numbers), (words_built, numbers_built) = text_and_numbers(nb), text_and_numbers(built)
    assert words == words_built
    assert numbers == pytest.approx(numbers_built, rel=1e-5, abs=1e-9)


def test_nothing_is_red(book):
    "Records in their bands, checks proved, own solutions right, claims as the ledger expects, no chapter stopped."
    assert red() == {}


def test_records_are_named_and_sourced(book):
    records = of_kind(book, "record")
    assert len(of_kind(book, "record", FLOORS)) >= 15
    assert all(not r["source"] or r["source"] in claim.citations() for _, r in records)
    assert len({(n, r["name"]) for n, r in records}) == len(records), "a record is named twice in its chapter"


def test_every_record_keeps_its_distance(book):
    """Four standard deviations between the mean of the last full shake and the nearer edge of the band.

    A record that only appears where an extra is installed may stand in the table and not in this build, never
    the other way round.
    """
    shaken = {(r["chapter"], r["name"]): r for r in read_table()}
    faults = []
    for name, c in of_kind(book, "record", FLOORS):
        row, (low, high) = shaken.get((name, c["name"])), c["band"]
        if row is None or row["runs"] < len(CONDITIONS):
            faults.append(f"{name}: {c['name']}: {row['runs'] if row else 0} of {len(CONDITIONS)} runs")
            continue
        left = margin(row["mean"], row["sd"], low, high)
        if not left >= 4:
            faults.append(f"{name}: {c['name']}: {left:.1f} standard deviations")
        if c["origin"] == "exact" and row["sd"] > 1e-6 * max(abs(row["mean"]), 1e-3):
            faults.append(f"{name}: {c['name']}: not exact, it varies by {row['sd']:.2g}")
    assert not faults, "\n".join(faults)


def test_bands_are_narrower_than_what_they_show(book):
    """A band that reaches as far as its baseline lies away would let half of the effect vanish unseen.

    Where the runs spread too much for that, one end may be open: the one away from the baseline, if the mean of the
    runs lies at least four standard deviations from the baseline and the closed end between the two.
    """
    shaken, wide = {(r["chapter"], r["name"]): r for r in read_table()}, []
    for name, c in of_kind(book, "record", FLOORS):
        (low, high), base = c["band"], c["baseline"] and c["baseline"][1]
        if base is None or c.get("beats"):
            continue
        if None not in (low, high):
            if abs(base - (low + high) / 2) < high - low:
                wide.append(f"{name}: {c['name']}: from {low} to {high}, baseline {base}")
            continue
        edge, row = low if high is None else high, shaken[name, c["name"]]
        between = base < edge <= row["mean"] if high is None else row["mean"] <= edge < base
        if not between or abs(row["mean"] - base) < 4 * row["sd"]:
            wide.append(f"{name}: {c['name']}: open, edge {edge}, mean {row['mean']} ± {row['sd']}, baseline {base}")
    assert not wide, "\n".join(wide)


def test_a_published_band_holds_what_is_published(book):
    for name, c in of_kind(book, "record", FLOORS):
        if c["origin"] == "published":
            assert c["published"] is not None, (name, c["name"])


def test_no_sentence_tells_where_a_band_comes_from(book):
    told = [(n, c["name"])
            for n, c in of_kind(book, "record", FLOORS)
            if re.search(r"band|after (a first look|seeing)", c["protocol"])]
    assert told == []


def test_the_published_sar_numbers_are_reproduced_exactly(book):
    found = {r["published"]: r["value"] for name, r in of_kind(book, "record") if r["source"] == "recommenders2024"}
    for published in (.114038, .393819, .340615, .185377):
        assert published in found and abs(found[published] - published) <= 5.1e-7, published


def test_the_ledger_is_consistent(book):
    settled = {c["id"]: (name, c) for name, c in of_kind(book, "claim")}
    for cid, (name, c) in settled.items():
        expected = claim.ledger()[cid]["verdict"]
        assert c["verdict"] == {"to_build": "built"}.get(expected, expected), (name, cid)
    # sections of which nothing may be left
    done = ("2.1.", "2.2.", "2.3.", "part2-summary", "3.1.3", "3.2.2", "4.2.2")
    assert [i for i, e in claim.ledger().items() if e["section"].startswith(done) and i not in settled] == []


def test_the_ledger_has_all_claims_once():
    ids = [line
           for line in (ROOT / "data" / "claims.toml").read_text(encoding="utf-8").splitlines()
           if line.startswith("id = ")]
    assert len(ids) == len(set(ids)) == len(claim.ledger()) == 485
    assert len(claim.citations()) == (ROOT / "nbs" / "references.bib").read_text(encoding="utf-8").count("\n@") + 1


@pytest.mark.parametrize("name", FLOORS)
def test_executed_claims_are_computed(name):
    "An executed claim must not be a literal: `holds=True` without a source would be an opinion."
    for node in ast.walk(ast.parse(code_of(chapters()[name]))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "claim":
            given = {k.arg: k.value for k in node.keywords}
            if "source" not in given:
                typed = [isinstance(given.get(key), ast.Constant) for key in ("holds", "got")]
                assert not any(typed), ast.unparse(node)[:120]


@pytest.mark.parametrize("name", FLOORS + WORKBENCH)
def test_cells_are_short(name):
    long = [i for i, c in enumerate(cells(name)) if c.cell_type == "code" and c.source.count("\n") > 36]
    assert not long


@pytest.mark.parametrize("name", FLOORS)
def test_citations_exist(name):
    for c in cells(name):
        for key in re.findall(r"\{cite:\w+\}`([^`]+)`", c.source):
            assert set(key.split(",")) <= set(claim.citations()), key


def computes(module, name: str) -> bool:
    "Is it a function or class of this module that computes something? An error or a row of fields does not."
    o = getattr(module, name)
    fields = isinstance(o, type) and dataclasses.is_dataclass(o) and not any(map(inspect.isfunction, [
        v for k, v in vars(o).items() if not k.startswith("__")]))
    nothing = fields or isinstance(o, type) and issubclass(o, (BaseException, tuple))
    return callable(o) and o.__module__ == module.__name__ and not nothing


def test_every_exported_function_of_a_chapter_has_a_check(book):
    "Every public function and class of a chapter module is named by a proof, with wrong versions that were rejected."
    proved = {c["name"].split(".")[0]: c for _, c in of_kind(book, "proof")}
    for name in CHAPTERS:
        module = re.search(r"#\|\s*default_exp (\S+)", "\n".join(c.source for c in cells(name)))[1]
        m = importlib.import_module(f"engagement_book.{module}")
        functions = [n for n in m.__all__ if computes(m, n)]
        assert functions and [n for n in functions if n not in proved] == [], name


def test_every_wrong_version_was_rejected(book):
    proofs = of_kind(book, "proof")
    assert len(proofs) >= 20
    for name, p in proofs:
        assert p["killed"] and all(k["source"].strip() and k["problem"]
                                   for k in p["killed"].values()), (name, p["name"])
    per_module = {}
    for name, p in proofs:
        per_module[name] = per_module.get(name, 0) + len(p["killed"])
    print("\nwrong versions rejected per chapter (all of them):", json.dumps(per_module, indent=1))


def test_a_wrong_version_cites_no_claim_that_is_right():
    "A mistake may be the article's only where the ledger says so."
    ledger, bad = claim.ledger(), []
    for name in FLOORS:
        for c in cells(name):
            for source in re.findall(r'"([^"\n]*)"', c.source) if "Check(" in c.source else ():
                cited = [w
                         for w in re.findall(r"[\w.]+(?:-[\w.]+)+", source)
                         if ledger.get(w, {}).get("verdict") == "reproduced"]
                bad += [f"{name}: {source}"] if cited else []
    assert not bad, bad


def test_public_functions_document_each_argument():
    from fastcore.docments import docments

    bare = []
    for name in CHAPTERS:
        module = re.search(r"#\|\s*default_exp (\S+)", "\n".join(c.source for c in cells(name)))[1]
        m = importlib.import_module(f"engagement_book.{module}")
        for n in m.__all__:
            o = getattr(m, n)
            if not callable(o) or o.__module__ != m.__name__:
                continue
            documented = docments(o, full=True)
            bare += [f"{module}.{n}({k})"
                     for k, p in documented.items() if k not in ("self", "return", "args", "kwargs") and not p.docment]
            if not inspect.getdoc(o):
                bare.append(f"{module}.{n}: no docstring")
    assert not bare, bare
