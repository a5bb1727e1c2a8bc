"The mutation tool kills what a check sees and reports what it does not; the committed kill rates hold their floor."
import ast
import json
import sys
import types

import mutate
import pytest

SETUP = "#| default_exp tiny.sums"
CODE = """#| export
def clip(
    x: int,
    low: int = 0,        # 0 by default
) -> int:
    "Not below `low`; ValueError for None."
    if x is None:
        raise ValueError("nothing to clip")
    return max(x, low)"""


def notebook(path, *cells):
    cells = [{"cell_type": "code", "id": f"c{i}", "source": source, "outputs": [], "metadata": {}}
             for i, source in enumerate(cells)]
    path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}), encoding="utf-8")
    return path


def judged(path, **settings):
    "What `run` finds, in a process of its own: (survivors, how the others were killed, notes)."
    def work():
        r = mutate.run(path, 0, **settings)
        return [f"{m}" for m in r.survivors], {f"{m}": m.seen for m in r.mutants if m.seen}, r.notes, r.by_time

    (_, found), = mutate.forked([work], [100.])
    return found


def test_a_planted_mistake_is_killed_and_one_that_no_check_sees_survives(tmp_path):
    weak = notebook(tmp_path / "weak.ipynb", SETUP, CODE, "assert clip(3) == 3")
    survivors, killers, notes, _ = judged(weak)
    assert killers["clip: return max(x, low)  →  return min(x, low)"].startswith("cell 2: AssertionError")
    assert survivors == ["clip: if x is None:  →  pass"] and not notes          # nobody asked for the error
    assert (killers["clip: def clip(x: int, low: int=0) -> int:  →  def clip(x: int, low: int=1) -> int:"]
            == "the comment beside it")
    strong = notebook(tmp_path / "strong.ipynb", SETUP, CODE, "import pytest", "assert clip(3) == 3",
                      "with pytest.raises(ValueError):\n    clip(None)")
    assert judged(strong)[0] == []


def test_what_is_red_without_a_mutant_kills_nothing(tmp_path):
    path = notebook(tmp_path / "red.ipynb", SETUP, CODE, "assert clip(3) == 4",
                    "data = load('ratings')\nassert clip(data) == 0")
    survivors, killers, notes, _ = judged(path)
    assert set(killers.values()) == {"the comment beside it"} and len(survivors) > 4
    assert notes[0] == "cell 3 is left out: needs data of cell 3" and "cell 2 is red without a mutant" in notes[1]


def test_a_function_that_is_called_from_above_is_reached(tmp_path):
    path = notebook(tmp_path / "above.ipynb", SETUP, "#| export\ndef outer(x):\n    return inner(x)",
                    "#| export\ndef inner(x):\n    return x + 1",
                    "assert outer(1) == 2")
    assert judged(path)[0] == []


def test_an_endless_mutant_is_killed_by_time(tmp_path):
    path = notebook(tmp_path / "endless.ipynb", SETUP,
                    "#| export\ndef down(n):\n    while n > 0:\n        n -= 1\n    return n", "assert down(3) == 0")
    survivors, killers, _, by_time = judged(path, limit=1.)
    assert killers["down: n -= 1  →  n += 1"] == killers["down: n -= 1  →  pass"] == "time" and by_time >= 2
    assert "down: n -= 1  →  pass" not in survivors


def test_a_red_card_kills_as_an_exception_does(tmp_path):
    card = """from engagement_book.workbench.cards import emit
def prove(holds):
    try:
        emit("proof", {} if holds else {"red": "it does not hold"}, "", "")
    except Exception:
        pass"""
    survivors, killers, _, _ = judged(notebook(tmp_path / "card.ipynb", SETUP, CODE, card, "prove(clip(3) == 3)"))
    assert killers["clip: return max(x, low)  →  return min(x, low)"] == "cell 3: Red: it does not hold"
    assert survivors == ["clip: if x is None:  →  pass"]


def test_modules_that_imported_a_function_see_its_mutant(monkeypatch):
    one, two = types.ModuleType("engagement_book.one"), types.ModuleType("engagement_book.two")
    one.f = two.g = lambda: "as it stands"
    monkeypatch.setitem(sys.modules, one.__name__, one)
    monkeypatch.setitem(sys.modules, two.__name__, two)
    space = {"f": lambda: "mutant", "alias": one.f}
    mutate._share({"f"}, one, {"": space})
    assert one.f() == two.g() == space["alias"]() == "mutant"


LESSON = """from engagement_book.tiny.checks import sums as check
check.clip(clip)"""
BELOW = """from hypothesis import strategies as st
from engagement_book.workbench.check import Check
clip = Check("clip", lambda x, low=0: max(x, low), st.tuples(st.integers(-3, 3)),
             wrong={"no floor": (lambda x, low=0: x, "a learner")})"""


def test_proofs_of_the_checks_floor_and_check_lines_of_the_lesson_see_mutants(tmp_path, monkeypatch):
    lesson, checks = (types.ModuleType(f"engagement_book.tiny{n}.sums") for n in ("", ".checks"))
    exec(CODE, vars(lesson))
    exec(BELOW, vars(checks))
    for module in (lesson, checks):
        package = types.ModuleType(module.__name__.rpartition(".")[0])
        package.__path__, package.sums = [], module
        monkeypatch.setitem(sys.modules, package.__name__, package)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    (tmp_path / "checks").mkdir()
    path = notebook(tmp_path / "one.ipynb", SETUP, CODE)
    floor = tmp_path / "checks" / "one.ipynb"
    export = f"#| export\n{BELOW}"
    for cells, by in (([SETUP, CODE, LESSON], "cell 2"), ([SETUP, CODE], "checks, cell 2")):
        notebook(path, *cells)
        notebook(floor, "#| default_exp tiny.checks.sums", export,
                 "from engagement_book.tiny import sums as lesson\nclip.prove(lesson.clip)" if by[0:2] == "ch" else "")
        survivors, killers, notes, _ = judged(path)
        assert killers["clip: return max(x, low)  →  return min(x, low)"].startswith(by), killers
        assert survivors == ["clip: if x is None:  →  pass"] and not notes
    notebook(floor, export, "import pytest\nfrom engagement_book.tiny.sums import clip as cut",
             "with pytest.raises(ValueError):\n    cut(None)")
    assert "clip: if x is None:  →  pass" not in judged(path)[0]


@pytest.mark.parametrize("code, after", [
    ("return a + b", "return a - b"), ("return a < b", "return a <= b"), ("return a and b", "return a"),
    ("return a[1:]", "return a[2:]"),
    ("return a[:b]", "return a[:]"), ("return .5 * a", "return 1.0 * a"),
    ("return np.argmax(a, axis=1)", "return np.argmax(a, axis=0)"),
    ("return np.argmax(a)", "return np.argmin(a)"), ("return np.argsort(a, kind='stable')", "return np.argsort(a)"),
    ("return a, b", "return a"),
    ("return a, b", "return (2 * a, b)"), ("a.eval()", "pass"), ("if a: raise ValueError", "pass"),
    ("return b if a else 0", "return b if not a else 0"),
    ("return [x for x in a if x]", "return [x for x in a if not x]"), ("return a.copy() - b", "return a - b"),
    ("a -= b", "a += b"),
    ("return np.zeros(3)", "return np.ones(3)"), ("return f(a, k=True)", "return f(a, k=False)"),
    ("a = a / b\n    return a", "pass"),
])
def test_operators(code, after, tmp_path):
    path = notebook(tmp_path / "one.ipynb", SETUP, f"#| export\ndef f(a, b):\n    {code}")
    found = mutate.mutants(mutate.read(path)[1])
    assert after in {m.after for m in found}
    assert all(ast.dump(ast.parse(m.source)) != ast.dump(ast.parse(f"def f(a, b):\n    {code}")) for m in found)


def test_an_edit_elsewhere_leaves_the_sample_as_it_is(tmp_path):
    def keys(*cells):
        return [m.key()
                for m in mutate.sample(mutate.mutants(mutate.read(notebook(tmp_path / "n.ipynb", SETUP, *cells))[1]), 3,
                                       0)]

    before = keys(CODE)
    assert before == keys(CODE) == keys("#| export\nimport os", "print(1)", CODE) and len(before) == 3
    assert mutate.sample([], 3, 0) == []


def test_the_table_covers_every_chapter_and_no_rate_is_below_its_floor():
    rows = mutate.table()
    assert list(rows) == list(mutate.modules())
    for name, r in rows.items():
        tried = int(r["mutants"]) - int(r["equivalent"])
        assert tried >= 16 and int(r["by_time"]) <= int(r["killed"]) <= tried, name
        assert float(r["rate"]) == pytest.approx(int(r["killed"]) / tried, abs=5.1e-4), name
        assert float(r["floor"]) >= mutate.FLOOR, name
    below = {name: r["rate"] for name, r in rows.items() if float(r["rate"]) < float(r["floor"])}
    assert not below, f"below their floor: {below}; `make mutate MODULE=…` names what no check sees"


def test_every_mutant_that_is_left_out_exists_and_says_why():
    with open(mutate.EQUIVALENT, encoding="utf-8", newline="") as f:
        named = {r["module"] for r in mutate.csv.DictReader(f)}
    for module in named:
        there = {m.key() for m in mutate.mutants(mutate.read(mutate.modules()[module])[1])}
        for key, why in mutate.equivalents(module).items():
            assert key in there and len(why) > 20, (module, key)
