"What a check has found out is kept for later processes, and counts only for the check that found it out."
import importlib
import sys

import pytest

from engagement_book.networks import mlp
from engagement_book.networks.checks import mlp as checks
from engagement_book.workbench import check as engine
from engagement_book.workbench import known, verdicts


@pytest.fixture
def book(monkeypatch):
    "(checks as a new process has them, what they say, which functions they ask)."
    said, asked, answer = [], [], engine.answer
    monkeypatch.setattr(verdicts, "emit", lambda kind, data, html, text, red="": said.append((html, red)))
    monkeypatch.setattr(engine, "answer", lambda fn, *rest: asked.append(fn) or answer(fn, *rest))
    known.place(checks.accuracy).unlink(missing_ok=True)
    return lambda: importlib.reload(sys.modules[checks.__name__]), said, asked


def test_a_green_line_asks_nobody_the_second_time(book):
    anew, said, asked = book
    anew().accuracy(mlp.accuracy)
    assert asked
    asked.clear()
    anew().accuracy(mlp.accuracy)
    assert said[0] == said[1] and not said[0][1]
    assert asked == [f for f, _ in checks.accuracy.oracles.values()], "each oracle once, whether it still answers so"


def test_a_proof_and_a_line_share_what_they_find(book):
    anew, said, asked = book
    anew().accuracy.prove(mlp.accuracy)
    first = said[-1]
    asked.clear()
    anew().accuracy(mlp.accuracy)
    assert not said[-1][1] and len(asked) == len(checks.accuracy.oracles)
    anew().accuracy.prove(mlp.accuracy)
    assert said[-1] == first
    assert not {w.fn for w in checks.accuracy.wrong.values()} & set(asked)


def test_a_wrong_answer_is_found_all_the_same(book):
    anew, said, _ = book
    anew().accuracy(mlp.accuracy)
    anew().accuracy(lambda logits, y: 1 - mlp.accuracy(logits, y))
    assert "not yet" in said[-1][1]


def test_kept_answers_that_are_no_longer_given_are_forgotten(book):
    anew, said, asked = book
    check = anew().accuracy
    check(mlp.accuracy)
    forged = dict(check.known())
    forged["oracles"] = {name: [0.] * len(answers) for name, answers in forged["oracles"].items()}
    known.keep(check, forged)
    asked.clear()
    anew().accuracy(mlp.accuracy)
    assert not said[-1][1] and len(asked) > 50


def test_another_mistake_or_oracle_is_asked(book):
    anew, _, asked = book
    anew().accuracy(mlp.accuracy)
    check = anew().accuracy
    name = next(iter(check.wrong))
    check.wrong[name] = check.wrong[name]._replace(fn=lambda logits, y: 2.)
    asked.clear()
    check(mlp.accuracy)
    assert check.wrong[name].fn in asked
    check = anew().accuracy
    check.oracles = {k: (lambda *case, f=f: f(*case), r) for k, (f, r) in check.oracles.items()}
    asked.clear()
    check(mlp.accuracy)
    assert {f for f, _ in check.oracles.values()} <= set(asked)
