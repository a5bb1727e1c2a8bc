"""Every exercise can be reached from its chapter's set-up cell alone, every known mistake is met by its own name, and
there are hints."""
import importlib
import json
import re
from typing import NamedTuple

import pytest

from engagement_book.workbench import verdicts
from engagement_book.workbench.check import Check, alike
from engagement_book.workbench.engine.graph import chapters
from engagement_book.workbench.house import is_checks, is_lesson
from engagement_book.workbench.press.cells import directives, stub

ASKED = re.compile(r"^((?:check\.)?(\w+))\((\w+)\)$", re.M)      # check.mean(mean)


class Exercise(NamedTuple):
    setup: str           # code that must be enough to begin with
    solution: str        # its cell
    function: str        # what is asked for
    calls: list[str]     # of its checks: "check.mean"
    checks: list[Check]
    verdict: str         # the cell below it


def code_of(name: str) -> list[str]:
    cells = json.loads(chapters()[name].read_text(encoding="utf-8"))["cells"]
    return ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]


def checks_module(name: str):
    part, _, chapter = name.replace("checks/", "").partition("/")
    exported = re.search(r"default_exp (\S+)", "\n".join(code_of(f"{part}/checks/{chapter}")))
    return importlib.import_module(f"engagement_book.{exported[1]}")


def exercises_of(name: str) -> dict[str, Exercise]:
    code = code_of(name)
    module = checks_module(name)
    setup = [directives(s)[1] for s in code if "setup" in directives(s)[0]]
    if is_checks(name):
        setup = [f"import numpy as np\nfrom {module.__name__} import *"]
    found = {}
    for at, cell in enumerate(code):
        if "### BEGIN SOLUTION" not in cell or not re.search(r"^(def|class) \w+", cell, re.M):
            continue
        function = re.findall(r"^(?:def|class) (\w+)", cell, re.M)[-1]
        verdict = next(s for s in code[at + 1:] if any(m[3] == function for m in ASKED.finditer(s)))
        asked = [m for m in ASKED.finditer(verdict) if m[3] == function]
        assert len(setup) == 1, f"{name}: one set-up cell is due, found {len(setup)}"
        found[f"{name}.{function}"] = Exercise(setup[0], cell, function, [m[1] for m in asked],
                                               [getattr(module, m[2]) for m in asked], verdict)
    return found


EXERCISES = {id: e for name in chapters() if is_lesson(name) or is_checks(name) for id, e in exercises_of(name).items()}
CHECKS = {f"{id}: {call}": check for id, e in EXERCISES.items() for call, check in zip(e.calls, e.checks, strict=True)}
HINTED = {id: check for id, check in CHECKS.items() if check.hints}


@pytest.fixture
def cards(monkeypatch) -> list[dict]:
    shown = []
    monkeypatch.setattr(verdicts, "emit",
                        lambda kind, data, html, text, red="": shown.append({"kind": kind, "text": text, **data}))
    return shown


def test_every_chapter_has_exercises():
    assert len(EXERCISES) >= 41
    for name in chapters():
        if is_lesson(name):
            here = [e for id, e in EXERCISES.items() if id.startswith(f"{name}.")]
            assert len(here) >= 2, name
            assert len(here) == sum("### BEGIN SOLUTION" in s for s in code_of(name)), name


@pytest.mark.parametrize("id", EXERCISES)
def test_an_exercise_ends_with_its_hints(id):
    e = EXERCISES[id]
    assert ".hint()" in e.verdict and any(c.hints for c in e.checks)


@pytest.mark.parametrize("id", HINTED)
def test_hints_are_there(id):
    hints = HINTED[id].hints
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
    return {other
            for other, w in check.wrong.items()
            if all(alike(a, b, check._loosest, check.atol) for a, b in zip(mine, check.answers(w.fn), strict=True))}


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


@pytest.mark.parametrize("id", EXERCISES)
def test_the_exercise_is_reached_from_the_set_up_cell_alone(id, cards):
    e = EXERCISES[id]
    for source, passed, written in ((stub(e.solution)[0], False, False), (e.solution, True, True)):
        fresh = {"__name__": "__main__"}
        exec(e.setup, fresh)
        exec(source, fresh)
        for call, check in zip(e.calls, e.checks, strict=True):
            exec(f"{call}({e.function})", fresh)
            said = cards[-1]["name"], cards[-1]["passed"], cards[-1]["written"]
            assert said == (check.name, passed, written), cards[-1]
    hinted = next(call for call, check in zip(e.calls, e.checks, strict=True) if check.hints)
    exec(f"{hinted}.hint()", fresh)
    assert cards[-1]["kind"] == "hint" and cards[-1]["hints"] >= 2
