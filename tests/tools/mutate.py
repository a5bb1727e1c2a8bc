"""Mutants of the chapters' exported code, and whether the chapters' own checks see them:
`make mutate MODULE=networks.mlp`.

Ours, because mutmut needs tests that pytest runs over a package on disk and cosmic-ray starts a new interpreter per
mutant (three seconds of imports each), while a chapter's code and its checks are cells of two notebooks, the lesson and
its checks: so one warm process runs the cells of both and is forked once per mutant.

A statement that loads data, records, races, draws or settles a claim is left out, and so is what depends on it; of
the rest, the checks and what they need run once as they stand, and then for each mutant from the mutated statement
on, until one turns red. The sample is the same in every run.
"""
import argparse
import ast
import collections
import contextlib
import csv
import dataclasses
import hashlib
import importlib
import json
import linecache
import os
import re
import resource
import select
import shutil
import signal
import subprocess
import symtable
import sys
import tempfile
import time
import traceback
import types
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

from test_defaults import undocumented

from engagement_book.workbench import cards
from engagement_book.workbench.engine.graph import chapters
from engagement_book.workbench.engine.kernel import PRELOAD
from engagement_book.workbench.house import ROOT, is_lesson

TABLE = ROOT / "data" / "mutants.csv"
EQUIVALENT = Path(__file__).with_name("equivalent_mutants.csv")
COLUMNS = ["module", "mutants", "killed", "by_time", "equivalent", "rate", "floor"]
FLOOR = .95                    # the least that the table may ask of a module
LIMIT = 20.                   # seconds that a mutant gets on top of three times what the same checks take without it
MEMORY = 4 << 30              # bytes that it gets on top of what the warm process holds
LEFT_OUT = {"load", "record", "beats", "race", "latency", "show", "claim", "diagram"}
CHECKS = {"prove", "raises", "expect_error", "say"}
BELOW = "checks."             # before the names of the checks floor, which has a namespace of its own


# --- the notebooks: statements, what they bind and use, which of them are checks ---

@dataclasses.dataclass
class Statement:
    "A top-level statement of a code cell."
    cell: int                 # number of its cell in the notebook
    source: str               # its lines, comments included
    node: ast.stmt
    exported: bool
    binds: set[str]           # names it defines or changes in place
    may_change: set[str]      # other names that it hands to a call whose answer it drops
    uses: set[str]            # names of the notebook it reads, also later, inside its functions
    floor: str = ""           # BELOW for one of the checks floor
    why_not: str = ""         # why it is left out

    @property
    def checks(self) -> bool:
        return any(isinstance(n, ast.Assert) or isinstance(n, ast.Call) and _checks(n) for n in ast.walk(self.node))

    @property
    def place(self) -> str:
        return f"{'checks, ' if self.floor else ''}cell {self.cell}"


def _checks(call: ast.Call) -> bool:
    "Does this call hold something against something, as `check.softmax(softmax)` or `softmax.prove(lesson.softmax)`?"
    name = _called(call)
    return name in CHECKS or name.startswith("check") or _root(call.func) == {"check"} and name != "hint"


def _called(call: ast.Call) -> str:
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


def _root(node: ast.expr) -> set[str]:
    "The name at the left end of `a.b[c].d`."
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Starred)):
        node = node.value
    return {node.id} if isinstance(node, ast.Name) else set()


def _at_once(node: ast.AST):
    "Its parts, bodies of functions and classes left out."
    yield node
    if not isinstance(node, (ast.FunctionDef, ast.Lambda, ast.ClassDef)):
        for child in ast.iter_child_nodes(node):
            yield from _at_once(child)


def _loaded(node: ast.AST) -> set[str]:
    return {n.id for n in _at_once(node) if isinstance(n, ast.Name)}


def _names(node: ast.stmt) -> tuple[set[str], set[str], set[str]]:
    "(bound or changed in place, perhaps changed in place, used) by a statement of the notebook."
    top = symtable.symtable(ast.unparse(node), "cell", "exec")
    tables, uses = [top], set()
    for table in tables:
        tables += table.get_children()
        uses |= {s.get_name() for s in table.get_symbols() if s.is_referenced() and (table is top or s.is_global())}
    binds = {s.get_name() for s in top.get_symbols() if s.is_assigned() or s.is_imported()}
    if isinstance(node, ast.FunctionDef) and any(ast.unparse(d) == "patch" for d in node.decorator_list):
        return {ast.unparse(node.args.args[0].annotation)}, set(), uses
    may_change = set()
    for n in _at_once(node):
        if isinstance(n, ast.AugAssign):
            uses |= _root(n.target)
        if isinstance(n, (ast.Attribute, ast.Subscript)) and isinstance(n.ctx, ast.Store):
            binds |= _root(n)
        if isinstance(n, ast.Expr) and isinstance(n.value, ast.Call) and _called(n.value) not in LEFT_OUT | CHECKS:
            binds |= {name for a in n.value.args for name in _root(a)}
            binds |= _root(n.value.func) if isinstance(n.value.func, ast.Attribute) else set()
            # it fills gradients that no name shows
            may_change |= _loaded(n.value) | ({"*"} if _called(n.value) == "backward" else set())
        if isinstance(n,
                      ast.For) and any(_root(a.target) & _loaded(n.target)
                                       for a in ast.walk(n) if isinstance(a, ast.AugAssign)):
            binds |= _loaded(n.iter)                 # `for p in net.params: p -= 1` changes the network
    return binds, may_change, uses - {name for n in _at_once(node) if isinstance(n, ast.For)
                                      for name in _loaded(n.target)}


def read(notebook: Path) -> tuple[str, list[Statement]]:      # (module, e.g. "networks.mlp"; its statements in order)
    """The statements of a lesson and of its checks floor; those that no check can need, or that need what is left out,
    say why."""
    module, found = _statements(notebook)
    below = notebook.parent / "checks" / notebook.name
    if below.exists():
        found += _moved_below(_statements(below)[1], module)
    _leave_out(found)
    return module, found


def _moved_below(statements: list[Statement], module: str) -> list[Statement]:
    """Those of a checks floor that are not imported with its module, in names of their own but for what they take from
    the lesson."""
    lesson, kept = f"engagement_book.{module}", [s for s in statements if not s.exported]
    names = {a.asname or a.name for s in kept if isinstance(s.node, ast.ImportFrom) for a in s.node.names
             if f"{s.node.module}.{a.name}" == lesson}
    for s in kept:
        s.floor, s.binds, s.may_change, s.uses = BELOW, *(below(n) for n in (s.binds, s.may_change, s.uses))
        s.uses |= {n.attr for n in ast.walk(s.node) if isinstance(n, ast.Attribute)
                   and isinstance(n.value, ast.Name) and n.value.id in names}
        if isinstance(s.node, ast.ImportFrom) and s.node.module == lesson:
            s.uses |= {a.name for a in s.node.names}
    return kept


def below(names: set[str], floor: str = BELOW) -> set[str]:
    return {n if n == "*" else floor + n for n in names}


def _statements(notebook: Path) -> tuple[str, list[Statement]]:
    module, found = "", []
    for number, cell in enumerate(json.loads(notebook.read_text(encoding="utf-8"))["cells"]):
        source = "".join(cell["source"])
        if cell["cell_type"] != "code":
            continue
        if match := re.search(r"^#\| *default_exp +(\S+)", source, re.M):
            module = match[1]
        exported = bool(re.search(r"^#\| *export\b", source, re.M))
        lines = re.sub(r"(?m)^\s*[%!].*$", "pass", source).splitlines()
        for node in ast.parse("\n".join(lines)).body:
            first = min(n.lineno for n in [node, *getattr(node, "decorator_list", [])])
            found.append(Statement(number, "\n".join(lines[first - 1:node.end_lineno]), node, exported, *_names(node)))
    return module, found


def _leave_out(statements: list[Statement]) -> None:
    fixed = {name for s in statements if isinstance(s.node, (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef))
             for name in s.binds}
    tainted = {}
    for s in statements:
        called = {n.func.id for n in ast.walk(s.node) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
        if verbs := sorted(called & LEFT_OUT):
            s.why_not = f"calls {', '.join(verbs)}"
        elif names := sorted(s.uses & tainted.keys()):
            s.why_not = f"needs {names[0].removeprefix(BELOW)} of {tainted[names[0]]}"
        if not s.why_not:
            tainted = {k: v for k, v in tainted.items() if k not in s.binds}
        elif isinstance(s.node, (ast.FunctionDef, ast.ClassDef)):
            tainted[s.floor + s.node.name] = s.place
        else:
            tainted |= dict.fromkeys(s.binds - fixed - _harmless(s, tainted.keys()), s.place)
    kept = _needed(statements, [i for i, s in enumerate(statements) if not s.why_not],
                   {i for i, s in enumerate(statements) if s.checks})
    for s in (s for i, s in enumerate(statements) if not s.why_not and i not in kept):
        s.why_not = "no check needs it"


def _needed(statements: list[Statement], among: list[int], wanted: set[int]) -> list[int]:
    """Those of `among` that are wanted or exported, or that bind what these use; a function may use what is bound
    below it."""
    needed, before, found = {"*"}, set(), []
    while needed != before:
        before, found = set(needed), []
        for i in reversed(among):
            s = statements[i]
            if i in wanted or s.exported or (s.binds | s.may_change) & needed:
                needed |= s.uses
                found.append(i)
    return found[::-1]


def _harmless(s: Statement, tainted: set[str]) -> set[str]:
    """What a statement that is left out only gives a new start, as `rng = np.random.default_rng(0)` in a loop: its
    older value will do."""
    node, tainted = s.node, {n.removeprefix(s.floor) for n in tainted if n.startswith(s.floor)} | LEFT_OUT
    whole = [n for n in _at_once(node) if isinstance(n, ast.Assign) and n is not node]
    changed = _loaded(node) & {name for n in _at_once(node) if isinstance(n, ast.For) for name in _loaded(n.target)}
    return below({t.id for n in whole if not _loaded(n.value) & (tainted | changed)
                  for t in n.targets if isinstance(t, ast.Name)}, s.floor)


def plan(statements: list[Statement], start: int) -> list[int]:
    "What to run again when statement `start` is another: the checks that it can reach, and what these need."
    later = [i for i in range(start + 1, len(statements)) if not statements[i].why_not]
    reached, checks, before = set(statements[start].binds), set(), set()
    while reached != before:                         # a function above may call one below
        before = set(reached)
        for s in statements[:start]:
            reached |= s.binds if isinstance(s.node, (ast.FunctionDef, ast.ClassDef)) and s.uses & reached else set()
    for i in later:
        if statements[i].uses & reached:
            reached |= statements[i].binds
            checks |= {i} if statements[i].checks else set()
    return _needed(statements, later, checks) if checks else []


# --- the mutants ---

_pairs = [(ast.Add, ast.Sub), (ast.Mult, ast.Div), (ast.FloorDiv, ast.Mult), (ast.Mod, ast.Mult), (ast.Pow, ast.Mult),
          (ast.BitAnd, ast.BitOr)]
OPERATORS = {a: b for a, b in _pairs} | {ast.Sub: ast.Add, ast.Div: ast.Mult, ast.BitOr: ast.BitAnd}
COMPARISONS = {ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.LtE),
               ast.GtE: (ast.Gt, ast.Lt), ast.Eq: (ast.NotEq,),
               ast.NotEq: (ast.Eq,), ast.In: (ast.NotIn,), ast.NotIn: (ast.In,), ast.Is: (ast.IsNot,),
               ast.IsNot: (ast.Is,)}
_pairs = [("min", "max"), ("argmin", "argmax"), ("minimum", "maximum"), ("any", "all"), ("zeros", "ones"),
          ("zeros_like", "ones_like"),
          ("zeros_", "ones_"), ("sum", "mean"), ("floor", "ceil"), ("cumsum", "cumprod")]
NAMES = dict(_pairs) | {b: a for a, b in _pairs}
DROPPED_KEYWORDS = {"kind", "stable", "reverse", "key", "minlength", "descending"}
NOT_VISITED = {"annotation", "returns", "decorator_list", "ctx"}


def variants(node, parent):
    "Small mistakes at one place of the code: what may stand there instead."
    match node:
        case ast.BinOp(left, op, right) if type(op) in OPERATORS:
            yield ast.BinOp(left, OPERATORS[type(op)](), right)
        case ast.AugAssign(target, op, value):
            yield ast.Pass()
            if type(op) in OPERATORS:
                yield ast.AugAssign(target, OPERATORS[type(op)](), value)
        case ast.UnaryOp(ast.USub() | ast.Not() | ast.Invert(), operand):
            yield operand
        case ast.Compare(left, [op], right):
            yield from (ast.Compare(left, [other()], right) for other in COMPARISONS.get(type(op), ()))
        case ast.BoolOp(op, values):
            yield ast.BoolOp(ast.Or() if isinstance(op, ast.And) else ast.And(), values)
            yield from (values[:i] + values[i + 1:] for i in range(len(values)))
        case ast.Constant(bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(int() as value):
            yield from (ast.Constant(v) for v in (value + 1, value - 1) if v >= 0)
        case ast.Constant(float() as value):
            yield ast.Constant(2 * value or 1.)
        case ast.Name(name, ast.Load()) if name in NAMES and isinstance(parent, ast.Call):
            yield ast.Name(NAMES[name], ast.Load())
        case ast.Attribute(value, name, ctx) if name in NAMES:
            yield ast.Attribute(value, NAMES[name], ctx)
        case ast.Call(func, args, keywords):
            for k in keywords:
                rest = [other for other in keywords if other is not k]
                if k.arg in DROPPED_KEYWORDS:
                    yield ast.Call(func, args, rest)
                if k.arg in ("axis", "dim") and isinstance(k.value, (ast.Constant, ast.UnaryOp)):
                    yield ast.Call(func, args,
                                   [*rest, ast.keyword(k.arg, ast.Constant(1 if ast.unparse(k.value) == "0" else 0))])
            if isinstance(func, ast.Attribute) and not args and not keywords and not isinstance(parent, ast.Expr):
                yield func.value
        case ast.Slice(lower, upper, step):
            bounds = {"lower": lower, "upper": upper, "step": step}
            yield from (ast.Slice(**{**bounds, name: None}) for name, bound in bounds.items() if bound)
        case ast.Return(ast.Tuple(parts)):
            for i, part in enumerate(parts):
                rest = parts[:i] + parts[i + 1:]
                yield ast.Return(rest[0] if len(rest) == 1 else ast.Tuple(rest, ast.Load()))
                yield ast.Return(ast.Tuple([*parts[:i], _twice(part), *parts[i + 1:]], ast.Load()))
        case ast.Return(ast.BinOp() | ast.Call() | ast.Name() | ast.Subscript() as value):
            yield ast.Return(_twice(value))
        case ast.Raise() | ast.Continue() | ast.Break():
            if not _guard(parent):
                yield ast.Pass()
        case ast.Expr(ast.Call()) | ast.Assign([ast.Attribute() | ast.Subscript()]):
            yield ast.Pass()
        case ast.Assign([ast.Name(name)],
                        value) if any(isinstance(n, ast.Name) and n.id == name for n in ast.walk(value)):
            yield ast.Pass()
        case ast.If(orelse=[]):
            yield ast.Pass()
    if isinstance(node, (ast.If, ast.IfExp, ast.While)):
        changed = {**dict(ast.iter_fields(node)), "test": ast.UnaryOp(ast.Not(), node.test)}
        yield type(node)(**changed)
    if isinstance(parent, ast.comprehension) and node in parent.ifs:
        yield ast.UnaryOp(ast.Not(), node)


def _guard(node) -> bool:
    return isinstance(node, ast.If) and len(node.body) == 1 and not node.orelse


def _twice(value):
    return ast.BinOp(ast.Constant(2), ast.Mult(), value)


@dataclasses.dataclass
class Mutant:
    statement: int            # number of the statement it changes
    where: str                # function or class and method
    before: str               # first line that differs
    after: str
    nth: int                  # 0 unless the same change is possible at several places of the function
    source: str               # the whole statement
    # what saw it: "the comment beside it", "time", "cell 12: CheckFailed: …"; nothing of a survivor
    seen: str = ""
    reached: bool = True      # does any check run it?
    killer: int = -1          # number of the statement that turned red

    def key(self) -> tuple[str, str, str, str]:
        return self.where, self.before, self.after, str(self.nth)

    def __str__(self) -> str:
        a, b, place = self.before, self.after, f"  (place {self.nth + 1})" if self.nth else ""
        if len(a) > 110 and b != "pass":             # a long line: only what differs, with some of what surrounds it
            same = len(os.path.commonprefix([a, b]))
            end = len(os.path.commonprefix([a[same:][::-1], b[same:][::-1]]))
            left, right = max(0, same - 40), max(0, end - 25)
            a, b = (f"…{t[left:len(t) - right]}…" for t in (a, b))
        return f"{self.where}: {a}  →  {b}{place}"


def _places(node, where):
    "(list or node that holds the place, index or field, what may stand there, function) of every possible change."
    for field, value in ast.iter_fields(node):
        if field in NOT_VISITED:
            continue
        for key, child in enumerate(value) if isinstance(value, list) else [(field, value)]:
            if not isinstance(child, ast.AST) or isinstance(child, (ast.JoinedStr, ast.Import, ast.ImportFrom)):
                continue
            inner = where
            if isinstance(child, (ast.FunctionDef, ast.ClassDef)):
                patched = [f"{ast.unparse(child.args.args[0].annotation)}."] if any(
                    ast.unparse(d) == "patch" for d in child.decorator_list) else []
                inner = "".join([f"{where}." if where else "", *patched, child.name])
            holder = value if isinstance(value, list) else node
            yield from ((holder, key, new, inner) for new in variants(child, node))
            if not isinstance(child, ast.Raise):
                yield from _places(child, inner)


def _put(holder, key, new) -> None:
    if isinstance(holder, list):
        holder[key] = new
    else:
        setattr(holder, key, new)


def mutants(statements: list[Statement]) -> list[Mutant]:
    "Every mutant of the exported statements, in the order of the code."
    found, nth = [], collections.Counter()
    for number, s in enumerate(statements):
        if not s.exported:
            continue
        module = ast.parse(s.source)
        silent = undocumented(module, s.source)
        original = ast.unparse(module).splitlines()
        for holder, key, new, where in list(_places(module, "")):
            old = holder[key] if isinstance(holder, list) else getattr(holder, key)
            if isinstance(new, list):                 # a part of `and` or `or` dropped
                new = new[0] if len(new) == 1 else ast.BoolOp(old.op, new)
            _put(holder, key, new)
            text, said = ast.unparse(module), bool(undocumented(module, s.source) - silent)
            _put(holder, key, old)
            before, after = next((a, b) for a, b in zip(original, text.splitlines(), strict=False) if a != b)
            change = where or "(module)", before.strip(), after.strip()
            found.append(Mutant(number, *change, nth[change], text, "the comment beside it" if said else ""))
            nth[change] += 1
    return found


def sample(found: list[Mutant], n: int, seed: int) -> list[Mutant]:
    "n of the mutants; an edit elsewhere in the module leaves most of the sample as it is."
    chosen = sorted(found, key=lambda m: hashlib.sha256(repr((seed, *m.key())).encode()).digest())[:n or None]
    return sorted(chosen, key=found.index)


# --- running ---

class Red(BaseException):
    "A card turned red. No `except Exception` of a check may catch it."


EMIT = cards.emit


def _emit(kind, data, html, text, red=""):
    if red or data.get("red"):
        raise Red(red or data["red"])


def _watch_cards() -> None:
    for name, module in list(sys.modules.items()):
        if name.startswith("engagement_book.") and getattr(module, "emit", None) is EMIT:
            module.emit = _emit


def execute(source: str, name: str, space: dict) -> None:
    "Run a statement as a cell would, with its text at hand for `inspect`."
    linecache.cache[name] = (len(source), None, (source + "\n").splitlines(True), name)
    _watch_cards()                                   # an import may have brought another module with `emit`
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        exec(compile(source, name, "exec"), space)


def _share(names: set[str], package, spaces: dict[str, dict]) -> None:
    "Let every module of the book that holds the package's version of a function hold the notebook's."
    space = spaces[""]
    for name in names & space.keys() & vars(package).keys() if package else ():
        original = vars(package)[name]
        setattr(package, name, space[name])
        if callable(original) and original is not space[name]:
            holders = [vars(m) for k, m in list(sys.modules.items()) if k.startswith("engagement_book.")]
            holders += spaces.values()
            for held in holders:
                held.update({k: space[name] for k, v in held.items() if v is original})


def _run(statements: list[Statement], todo: list[int], spaces: dict[str, dict], package,
         mutant: Mutant | None = None) -> tuple[list, dict]:
    """[[statement, what was seen]] of the statements that turn red, of a mutant the first one only; seconds per
    statement."""
    failed, spent = [], {}
    for i in todo:
        s, began = statements[i], time.monotonic()
        try:
            execute(mutant.source if mutant and i == mutant.statement else s.source,
                    f"<{s.place}, statement {i}>", spaces[s.floor])
        except BaseException as e:                   # a check may die of anything, SystemExit included
            failed.append([i, " ".join(f"{type(e).__name__}: {e}".split())[:160]])
            if mutant:
                break
        spent[i] = time.monotonic() - began
        if s.exported:
            _share(s.binds, package, spaces)
    return failed, spent


def _start(work) -> tuple[int, int]:
    "(process, pipe) of a fork that writes down what `work` returns."
    out, into = os.pipe()
    if pid := os.fork():
        os.close(into)
        return pid, out
    try:
        os.setsid()
        with contextlib.suppress(OSError, ValueError):
            held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, resource.RLIM_INFINITY))
        os.write(into, json.dumps(work()).encode()[:60_000])
    finally:
        os._exit(0)


def forked(works: list, seconds: list[float], jobs: int = 1):
    """(index, answer) of each piece of work, in a process of its own; the answer is \"time\" after its seconds, and
    None if the process died."""
    waiting, running = list(range(len(works))), {}
    while waiting or running:
        while waiting and len(running) < jobs:
            i = waiting.pop(0)
            pid, pipe = _start(works[i])
            running[pipe] = i, pid, time.monotonic() + seconds[i]
        ready = select.select(list(running), [], [], .05)[0]
        for pipe, (i, pid, end) in list(running.items()):
            if pipe in ready or time.monotonic() > end:
                text = os.read(pipe, 1 << 16) if pipe in ready else b'"time"'
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                os.close(pipe)
                del running[pipe]
                yield i, json.loads(text) if text else None


TESTS = {"recommend.spark": "test_spark.py"}       # of code that no check in a notebook can reach


def seen_by_tests(module: str, m: Mutant, statement: Statement) -> str:
    "The test that fails on the package with this mutant in it; nothing if all pass."
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(ROOT / "engagement_book", Path(folder, "engagement_book"),
                        ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("settings.ini", "data", "nbs"):
            Path(folder, name).symlink_to(ROOT / name)
        target = Path(folder, "engagement_book", *module.split(".")).with_suffix(".py")
        text = target.read_text(encoding="utf-8")
        assert text.count(statement.source) == 1, f"{module} is not exported from its notebook as it stands"
        target.write_text(text.replace(statement.source, m.source), encoding="utf-8")
        done = subprocess.run([sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider",
                               str(ROOT / "tests" / TESTS[module])], cwd=folder,
                              env={**os.environ, "PYTHONPATH": folder}, capture_output=True, text=True, timeout=600)
    failed = re.search(r"^FAILED \S+::(\S+)|^ERROR \S+", done.stdout, re.M)
    return f"{TESTS[module]}: {failed[0]}" if done.returncode else ""


@dataclasses.dataclass
class Result:
    module: str
    possible: int = 0         # mutants that the operators can make
    mutants: list[Mutant] = dataclasses.field(default_factory=list)      # those of the sample, equivalent ones left out
    equivalent: int = 0       # how many were left out
    checks: int = 0           # statements that check
    notes: list[str] = dataclasses.field(default_factory=list)           # checks that were left out and why

    @property
    def survivors(self) -> list[Mutant]:
        return [m for m in self.mutants if not m.seen]

    @property
    def by_time(self) -> int:
        return sum(m.seen == "time" for m in self.mutants)

    @property
    def rate(self) -> float:
        return 1 - len(self.survivors) / max(1, len(self.mutants))


def equivalents(module: str, path: Path = EQUIVALENT) -> dict[tuple, str]:
    "Mutants that no check can see because they compute the same, with the reason."
    with open(path, encoding="utf-8", newline="") as f:
        return {(r["function"], r["before"], r["after"], r["nth"]): r["why"]
                for r in csv.DictReader(f) if r["module"] == module}


def run(
    notebook: Path,          # the chapter
    n: int = 24,             # mutants, 24 by default; 0 for all there are
    seed: int = 0,           # of the sample, 0 by default
    jobs: int = 1,           # processes side by side, 1 by default
    limit: float = LIMIT,    # seconds, see `LIMIT`
    only: str = "",          # nothing but mutants whose line in the report contains this
) -> Result:                 # of this process: it executes the chapter's cells here, so call it in a process of its own
    "What the checks of a chapter see of n mutants of its exported code."
    module, statements = read(notebook)
    result, every = Result(module), [m for m in mutants(statements) if only in str(m)]
    chosen, known = sample(every, n, seed), equivalents(module)
    result.possible, result.mutants = len(every), [m for m in chosen if m.key() not in known]
    result.equivalent = len(chosen) - len(result.mutants)
    package = None
    for name in PRELOAD.split(","):                  # as in a kernel of the build: torch loads parts on first use
        importlib.import_module(name)
    for s in statements:
        if isinstance(s.node, (ast.Import, ast.ImportFrom)) and not s.why_not:
            with contextlib.suppress(ImportError):
                # before the first fork, so that no mutant pays for them
                execute(s.source, "<imports>", {})
    with contextlib.suppress(ImportError):
        package = importlib.import_module(f"engagement_book.{module}")
    spaces = _spaces(module)
    skipped = [s for s in statements if s.checks and s.why_not]
    result.notes += [f"{s.place} is left out: {s.why_not}" for s in skipped]
    result.checks = sum(s.checks and not s.why_not for s in statements)
    kept = [i for i, s in enumerate(statements) if not s.why_not]
    (_, (red, spent)), = forked([lambda: _run(statements, kept, spaces, package)], [1e4])
    for i, why in red:
        statements[i].why_not = why
        result.notes.append(f"{statements[i].place} is red without a mutant: {why}")
    last = max((m.statement for m in result.mutants), default=-1)
    for i in kept:
        if i > last:
            break
        if statements[i].why_not:
            continue
        if mine := [m for m in result.mutants if m.statement == i and not m.seen]:
            _judge(result, mine, statements, [i, *plan(statements, i)], {int(k): v for k, v in spent.items()}, spaces,
                   package, jobs, limit)
        if statements[i].binds or not statements[i].checks:          # a check that leaves nothing behind ran above
            execute(statements[i].source, f"<{statements[i].place}, statement {i}>", spaces[statements[i].floor])
    for m in result.survivors if module in TESTS else ():
        m.seen, m.reached = seen_by_tests(module, m, statements[m.statement]), True
    return result


def _spaces(module: str) -> dict[str, dict]:
    "Namespaces of the floors, as their kernels have them; the checks floor begins with what its module exports."
    part, _, name = module.rpartition(".")
    checks = f"engagement_book.{part}.checks.{name}"
    spaces = {"": "__main__", BELOW: "__checks__"}
    for floor, called in spaces.items():             # modules, for dataclasses and pickles
        sys.modules[called] = types.ModuleType(called)
        spaces[floor] = vars(sys.modules[called])
    with contextlib.suppress(ImportError):
        exported = vars(importlib.import_module(checks))
        spaces[BELOW] |= {k: v for k, v in exported.items() if not k.startswith("__")}
    return spaces


def _seen(answer, statements: list[Statement]) -> tuple[str, int]:
    "What saw a mutant, and the statement that did; nothing and -1 of a survivor."
    if not isinstance(answer, list):
        return answer or "the end of its process", -1
    return (f"{statements[answer[0][0]].place}: {answer[0][1]}", answer[0][0]) if answer else ("", -1)


def _judge(result, mine, statements, todo, spent, spaces, package, jobs, limit) -> None:
    """Run mutants of statement todo[0]. What is red without a mutant as well says nothing about one: those that it
    killed run again without it."""
    for m in mine:
        m.reached = any(statements[i].checks for i in todo)
    seconds = limit + 3 * sum(spent[i] for i in todo)
    while mine:
        works = [lambda m=m, todo=todo: _run(statements, todo, spaces, package, m)[0] for m in mine]
        for k, answer in forked(works, [seconds] * len(mine), jobs):
            mine[k].seen, mine[k].killer = _seen(answer, statements)
        until = todo[:max((todo.index(m.killer) + 1 for m in mine if m.killer >= 0), default=0)]
        (_, red), = forked([lambda until=until: _run(statements, until, spaces, package)[0]], [10 * seconds])
        unsteady = dict(red)
        result.notes += [f"{statements[i].place} is red without a mutant when others are left out: {why}"
                         for i, why in red]
        mine, todo = [m for m in mine if m.killer in unsteady], [i for i in todo if i not in unsteady]


# --- the table ---

def table(path: Path = TABLE) -> dict[str, dict[str, str]]:       # module → row
    "The committed kill rates."
    if not path.exists():
        return {}
    with open(path, encoding="utf-8", newline="") as f:
        return {r["module"]: r for r in csv.DictReader(f)}


# module, e.g. "networks.mlp" → notebook; the tools of the workbench have tests of their own
def modules() -> dict[str, Path]:
    "The lessons' modules in reading order."
    found = {read_name(p): p for name, p in chapters().items() if is_lesson(name)}
    return {m: p for m, p in found.items() if m}


def read_name(notebook: Path) -> str:
    found = re.search(r"#\| *default_exp +([\w.]+)", notebook.read_text(encoding="utf-8"))
    return found[1] if found else ""


def write(result: Result, path: Path = TABLE) -> None:
    "Put a module's row into the table; its floor stays what it was."
    rows = table(path)
    killed = len(result.mutants) - len(result.survivors)
    floor = rows.get(result.module, {}).get("floor", FLOOR)
    rows[result.module] = dict(zip(COLUMNS,
                                   (result.module, len(result.mutants) + result.equivalent, killed, result.by_time,
                                    result.equivalent,
                                             f"{result.rate:.3f}", floor), strict=True))
    order = list(modules())
    with open(path, "w", encoding="utf-8", newline="") as f:
        out = csv.DictWriter(f, COLUMNS, lineterminator="\n")
        out.writeheader()
        out.writerows(sorted(rows.values(), key=lambda r: order.index(r["module"])))


def report(result: Result, seconds: float, seed: int) -> str:
    "One line per survivor, under a line per module."
    killed = len(result.mutants) - len(result.survivors)
    head = (f"{result.module}: {killed} of {len(result.mutants)} mutants killed ({result.rate:.0%}), {result.by_time} "
            f"by time, "
            f"{result.equivalent} equivalent left out; sample of {result.possible}, seed {seed}; {result.checks} "
            f"checks; {seconds:.0f} s")
    lines = [f"  survived  {m}{'' if m.reached else '  (no check reaches it)'}" for m in result.survivors]
    return "\n".join([head, *lines, *(f"  note      {n}" for n in dict.fromkeys(result.notes))])


def main() -> int:
    p = argparse.ArgumentParser(description="Mutants of the chapters' code, and whether their checks see them.")
    p.add_argument("module", nargs="*", help="e.g. networks.mlp; all without it")
    p.add_argument("-n", type=int, default=24, help="mutants per module, 0 for all (default 24)")
    p.add_argument("--seed", type=int, default=0, help="of the sample (default 0)")
    p.add_argument("--jobs", type=int, default=1, help="processes side by side (default 1)")
    p.add_argument("--only", default="",
                   help="nothing but mutants whose line contains this text, e.g. 'train:'; does not change the table")
    p.add_argument("--dry", action="store_true", help="do not change the table")
    p.add_argument("--killers", action="store_true", help="say for each mutant what saw it")
    a = p.parse_args()
    if unknown := set(a.module) - modules().keys():
        p.error(f"no chapter exports {', '.join(sorted(unknown))}; there are {', '.join(modules())}")
    os.environ.setdefault("MPLBACKEND", "Agg")
    below = 0
    for name in a.module or modules():
        if pid := os.fork():                         # each chapter in a process of its own: its cells run there
            below |= os.waitpid(pid, 0)[1]
            continue
        began, status = time.monotonic(), 1
        try:
            result = run(modules()[name], a.n, a.seed, a.jobs, only=a.only)
            print(report(result, time.monotonic() - began, a.seed), flush=True)
            if a.killers:
                print(*(f"  killed    {m}  by {m.seen}" for m in result.mutants if m.seen), sep="\n", flush=True)
            if not (a.dry or a.only):
                write(result)
            status = int(result.rate < float(table().get(name, {}).get("floor", FLOOR)))
        except BaseException:        # Red is none of the ordinary ones
            traceback.print_exc()
        finally:
            os._exit(status)
    return int(below > 0)                            # some module lies below its floor


if __name__ == "__main__":
    sys.exit(main())
