"Every exercise can be reached from its chapter's set-up cell alone, every known mistake is met by its own name, and there are hints."
import importlib
import json
import re

import pytest

from engagement_book.workbench import verdicts
from engagement_book.workbench.check import Check, alike
from engagement_book.workbench.house import ROOT
from engagement_book.workbench.site import directives, stub

MODULES = sorted(p for p in (ROOT / "engagement_book").glob("*/checks/*.py") if p.name != "__init__.py")


def checks_of(path) -> dict[str, Check]:
    module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    return {name: value for name, value in list(vars(module).items()) if isinstance(value, Check)}


CHECKS = {f"{path.parent.parent.name}/{path.stem}.{name}": check for path in MODULES for name, check in checks_of(path).items()}


def chapter_of(check: Check) -> list[str]:
    "Code cells of the chapter whose exercise a check belongs to."
    cells = json.loads((ROOT / "nbs" / check.page.replace("checks/", "")).read_text(encoding="utf-8"))["cells"]
    return ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]


def exercise(id: str) -> tuple[str, str, str]:
    "Set-up cell, cell with the solution, name of the function."
    code, name = chapter_of(CHECKS[id]), id.partition(".")[2]
    setup = [s for s in code if "setup" in directives(s)[0]]
    asked = [(i, m[1]) for i, s in enumerate(code) if (m := re.match(rf"{name}\((\w+)\)\n{name}\.hint\(\)$", s, re.M))]
    assert len(setup) == len(asked) == 1, f"{id}: one set-up cell and one cell with {name}(…) and {name}.hint() are due, found {len(setup)} and {len(asked)}"
    at, function = asked[0]
    solution = next(s for s in reversed(code[:at]) if "### BEGIN SOLUTION" in s)
    assert f"def {function}(" in solution
    return directives(setup[0])[1], solution, function


@pytest.fixture
def cards(monkeypatch) -> list[dict]:
    shown = []
    monkeypatch.setattr(verdicts, "emit", lambda kind, data, html, text, red="": shown.append({"kind": kind, "text": text, **data}))
    return shown


def test_every_exercise_has_a_check():
    assert len(CHECKS) == 41
    for path in MODULES:
        found = checks_of(path)
        code = chapter_of(next(iter(found.values())))
        assert len(found) == sum("### BEGIN SOLUTION" in s for s in code), path


@pytest.mark.parametrize("id", CHECKS)
def test_hints_are_there(id):
    hints = CHECKS[id].hints
    assert 2 <= len(hints) <= 3 and all(isinstance(h, str) and len(h) > 40 for h in hints[:-1])
    assert len(set(hints)) == len(hints) and all(h.rstrip()[-1] in ".?!" for h in hints)
    assert not any(re.search(r"\*\*\w|\$|^#|\]\(", h) for h in hints), "a card shows a hint as it stands: no Markdown"


@pytest.mark.parametrize("id", CHECKS)
def test_every_mistake_is_told_from_the_right_answer(id):
    check = CHECKS[id]
    killed = check.kills()
    assert len(killed) >= 2 and killed.keys() == check.wrong.keys()


def equal_names(check: Check, name: str) -> set[str]:
    "Wrong versions that cannot be told from one of them."
    mine = check.answers(check.wrong[name].fn)
    return {other for other, w in check.wrong.items() if all(alike(a, b, check._loosest, check.atol) for a, b in zip(mine, check.answers(w.fn), strict=True))}


@pytest.mark.parametrize("id", CHECKS)
def test_every_mistake_is_met_by_its_own_name(id, cards):
    check = CHECKS[id]
    for name, w in check.wrong.items():
        if check.use:            # there a wrong version takes the case, not what `use` would hand it
            assert check.misconception(check.answers(w.fn)) in equal_names(check, name)
            continue
        check(w.fn)
        assert not cards[-1]["passed"] and cards[-1]["written"], cards[-1]
        assert cards[-1]["misconception"] in equal_names(check, name), cards[-1]
        assert "This is a known mistake" in cards[-1]["text"]


@pytest.mark.parametrize("id", CHECKS)
def test_the_exercise_is_reached_from_the_set_up_cell_alone(id, cards):
    setup, solution, function = exercise(id)
    name = id.partition(".")[2]
    for source, passed, written in ((stub(solution)[0], False, False), (solution, True, True)):
        fresh = {"__name__": "__main__"}
        exec(setup, fresh)
        exec(source, fresh)
        exec(f"{name}({function})", fresh)
        assert (cards[-1]["name"], cards[-1]["passed"], cards[-1]["written"]) == (CHECKS[id].name, passed, written), cards[-1]
    exec(f"{name}.hint()", fresh)
    assert cards[-1]["kind"] == "hint" and cards[-1]["hints"] == len(CHECKS[id].hints)
