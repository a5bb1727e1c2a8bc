"A changed default is seen: the comment beside each number that an argument has by default says the number."
import ast
import re

import pytest

from engagement_book.workbench.house import ROOT

# with its unit, if it has one
BY_DEFAULT = re.compile(r"([-−]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][-−+]?\d+)?)(?:\s+\w+)?\s+by default")


def _number(node: ast.expr | None):
    "The int or float an expression of the source stands for; None if it is anything else."
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError):
        return None
    return value if type(value) in (int, float) else None


def _comment(line: str) -> str:
    return line.partition("#")[2]


def _arguments(function: ast.FunctionDef):
    "(line of the source, from 1; name; default) of every argument with a default."
    a = function.args
    positional = [*a.posonlyargs, *a.args]
    pairs = [*zip(positional[len(positional) - len(a.defaults):], a.defaults), *zip(a.kwonlyargs, a.kw_defaults)]
    return [(arg.lineno, arg.arg, default) for arg, default in pairs if default]


def _functions(tree: ast.Module):
    """(name, [(line, argument, default)]) of every public function, method and class with fields; a patched method
    carries its class."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            patched = any(ast.unparse(d) == "patch" for d in node.decorator_list)
            yield f"{ast.unparse(node.args.args[0].annotation)}.{node.name}" if patched else node.name, _arguments(node)
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield node.name, [(f.lineno, f.target.id, f.value) for f in node.body if isinstance(f, ast.AnnAssign)
                              and f.value]
            for f in node.body:
                if isinstance(f, ast.FunctionDef) and (f.name == "__init__" or not f.name.startswith("_")):
                    yield f"{node.name}.{f.name}", _arguments(f)


def undocumented(
    tree: ast.Module,        # the code, with the line numbers of `source`
    source: str,             # its text, with the comments
) -> set[tuple[str, str]]:   # (function, argument)
    "Arguments with a number by default whose comment does not say «<that number> by default»."
    lines = source.splitlines()
    return {(name, argument) for name, arguments in _functions(tree) for line, argument, default in arguments
            if (number := _number(default)) is not None
            and number not in [float(n.replace("−", "-")) for n in BY_DEFAULT.findall(_comment(lines[line - 1]))]}


MODULES = {".".join(p.relative_to(ROOT / "engagement_book").with_suffix("").parts): p
           for p in sorted((ROOT / "engagement_book").glob("*/*.py")) if p.parent.name != "workbench"
           and p.name != "__init__.py"}


@pytest.mark.parametrize("module", MODULES)
def test_every_default_is_said_beside_its_argument(module):
    source = MODULES[module].read_text(encoding="utf-8")
    missing = sorted(f"{name}({argument})" for name, argument in undocumented(ast.parse(source), source))
    assert not missing, f"{module}: no «<number> by default» with the default's number: {', '.join(missing)}"


SAMPLE = '''
def fit(
    x,
    rate: float = .9,        # learning rate; .9 by default
    steps: int = 1_000,      # 1_000 by default, at most 2_000
    eps: float = 1e-3,       # added, 0.001 by default
    low: float = -1.,        # −1 by default
    said_wrongly: int = 3,   # 4 by default
    silent: int = 3,         # how many
    flag: bool = True,       # no number
    name: str = "a",
): ...

@patch
def go(self: Net, k: int = 10): ...      # 10 by default

@patch
def stop(self: Net, k: int = 10): ...    # when to stop

class Net:
    width: int = 5           # neurons
    def __init__(self, d: int = 2): ...  # 2 by default
    def _inner(self, d: int = 2): ...

def _private(d: int = 2): ...
'''


def test_the_numbers_are_read_as_python_and_people_write_them():
    found = undocumented(ast.parse(SAMPLE), SAMPLE)
    assert found == {("fit", "said_wrongly"), ("fit", "silent"), ("Net.stop", "k"), ("Net", "width")}


def test_a_changed_default_is_seen():
    for before, after in ((".9,", ".8,"), ("= 1_000", "= 1_001"), ("1e-3,", "2e-3,"), ("-1.", "1."),
                          ("self, d: int = 2", "self, d: int = 3")):
        assert len(undocumented(ast.parse(SAMPLE.replace(before, after)), SAMPLE)) == 5, before
