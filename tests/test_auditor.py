"""The auditor: small texts of our own with one defect each, the command line, and the article itself where it is at
hand."""
import importlib
import os
import re
import subprocess
import sys
from collections import Counter
from configparser import ConfigParser
from pathlib import Path

import pytest

from engagement_book.workbench.auditor.audit import audit, main
from engagement_book.workbench.auditor.charts import read_diagram
from engagement_book.workbench.auditor.formulas import render_formula
from engagement_book.workbench.auditor.listings import run_listing
from engagement_book.workbench.auditor.pieces import Piece, pieces
from engagement_book.workbench.claim import ledger
from engagement_book.workbench.house import ROOT

FENCE = "`" * 3


def article() -> Path | None:
    "The article, which is not part of the repository: from the environment, or from its place beside the repository."
    given = os.environ.get("ENGAGEMENT_BOOK_ARTICLE")
    found = [Path(given)] if given else sorted((ROOT.parent / "shared" / "source").glob("*.txt"))
    return next((p for p in found if p.is_file()), None)


def listing(*lines: str, **limits):
    found = run_listing(Piece("listing", 1, "\n".join(lines), 2), **{"wall": 30, **limits})
    return found.verdict, found.why, found.at


# where pieces are

@pytest.mark.parametrize("text, expected", [
    (f"{FENCE}python\nx\n{FENCE}", [("listing", 1, "x\n")]),
    (f"1. a\n   - b\n     {FENCE}py\n     if x:\n         y\n     {FENCE}", [("listing", 3, "if x:\n    y\n")]),
    (f"> {FENCE}python\n> x\n> {FENCE}", [("listing", 1, "x\n")]),
    ("~~~~ Python title=x\n~~~\nx\n~~~~", [("listing", 1, "~~~\nx\n")]),
    (f"{FENCE}{{mermaid}}\ngraph LR\n{FENCE}", [("diagram", 1, "graph LR\n")]),
    (f"{FENCE}math\nx\n{FENCE}", [("formula", 1, "x")]),
    (f"{FENCE}javascript\nx\n{FENCE}\n\n{FENCE}\ny\n{FENCE}", []),
    (f"`{FENCE}markdown\n{FENCE}python\nx\n{FENCE}\n`{FENCE}", []),
    (f"    {FENCE}python\n    shown, not marked as a listing\n    {FENCE}", []),
    ("a `$$x$$` in code, a price of $5 or $6, $x$ within a line", []),
    ("one\n$$a$$\n$$b$$ and\n$$a$$", [("formula", 2, "a"), ("formula", 3, "b"), ("formula", 4, "a")]),
    ("- 公式：\n\n  $$\n  a\n  $$", [("formula", 3, "a")]),
])
def test_pieces_are_found_where_markdown_has_them(text, expected):
    for newline in ("\n", "\r\n"):
        found = [(p.kind, p.line, p.text if p.kind != "formula" else p.text.strip())
                 for p in pieces(text.replace("\n", newline))]
        assert found == expected


def test_a_fence_that_is_never_closed_is_a_finding():
    (found,) = audit(f"text\n\n{FENCE}python\nprint(1)\n\nthe rest of the text\n")
    assert (found.line, found.verdict, found.why) == (3, "fails", "its fence is never closed")
    assert not audit(f"{FENCE}python\nprint(1)\n{FENCE}")[0].bad
    assert audit(f"{FENCE}python")[0].bad


# listings

@pytest.mark.parametrize("lines", [
    ["print(1)"], [], ["import sys", "sys.exit()"], ["import asyncio", "asyncio.run(asyncio.sleep(0))"],
    ["import tempfile", "with tempfile.NamedTemporaryFile() as f, tempfile.TemporaryDirectory(): f.write(b'x')"],
    ["from concurrent.futures import ThreadPoolExecutor as T", "with T(2) as t: list(t.map(abs, [1]))"],
    ["from __future__ import annotations", "import pickle", "from dataclasses import dataclass", "@dataclass",
     "class A:", "    x: int", "pickle.loads(pickle.dumps(A(1)))"],
    ["import sqlite3", "sqlite3.connect(':memory:')", "sqlite3.connect('a.db').execute('create table t (x)')"],
    ["import pandas as pd", "pd.DataFrame({'用户': [1]}).to_csv('a.csv')",
     "assert pd.read_csv('a.csv').shape == (1, 2)"],
    ["import os", "assert os.listdir() == []", "open('a', 'w').close()", "os.rename('a', 'b')", "os.remove('b')",
     "assert not set(os.environ) & {'PYTHONPATH', 'VIRTUAL_ENV', 'ENGAGEMENT_BOOK_CACHE'}"],
])
def test_sound_listings_run(lines):
    assert listing(*lines)[:2] == ("runs", "")


@pytest.mark.parametrize("lines, why, at", [
    (["x = 1", "def f(:", "    pass"], "SyntaxError: ", 3),
    (["if True:", "    pass", "return 1"], "SyntaxError: 'return' outside function", 4),
    (["x = '\0'"], "SyntaxError: source code string cannot contain null bytes", 2),
    (["def f():", "    return missing", "f()"], "NameError: name 'missing' is not defined", 3),
    (["import json", "json.loads('{')"], "JSONDecodeError: ", 3),
    (["open('data.csv')"], "FileNotFoundError: [Errno 2] No such file or directory: 'data.csv'", 2),
    (["import no_such_module_here"], "ModuleNotFoundError: No module named 'no_such_module_here'", 2),
    (["raise ValueError('first\\nsecond')"], "ValueError: first", 2),
    (["class E(Exception): __str__ = None", "raise E"], "ended with code 1", 1),
    (["import sys", "sys.exit('bad')"], "SystemExit: bad", 3),
    (["import os", "os._exit(3)"], "ended with code 3", 1),
    (["import ctypes", "ctypes.string_at(0)"], "killed by SIGSEGV", 3),
    (["input()"], "EOFError: ", 2),
    (["def f(): f()", "f()"], "RecursionError: ", 2),
    (["open('big', 'wb').write(bytes(100 * 2 ** 20))"], "OSError: [Errno 27] File too large", 2),
])
def test_broken_listings_fail_with_cause_and_line(lines, why, at):
    verdict, found, line = listing(*lines)
    assert (verdict, line) == ("fails", at) and found.startswith(why)


def test_a_listing_that_never_ends_times_out():
    assert listing("while True: pass", seconds=1, wall=100) == ("times out", "1 s of CPU time used up", 2)
    assert listing("import time", "time.sleep(99)", wall=1) == ("times out", "no end after 1 s", 3)
    assert listing("import threading, time", "threading.Thread(target=time.sleep, args=[99]).start()",
                   wall=1)[0] == "times out"
    assert listing("while True:", "    try:", "        while True: pass", "    except: pass", seconds=1,
                   wall=100)[0] == "times out"


def test_a_listing_that_eats_memory_fails():
    assert listing("x = []", "while True: x.append(bytes(10 ** 7))", megabytes=300) == (
        "fails", "MemoryError: more than 300 MB", 3)
    assert listing("bytes(10 ** 12)")[1].startswith("MemoryError")


@pytest.mark.parametrize("line", [
    "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9')",
    "import socket; socket.create_connection(('192.0.2.1', 80), timeout=1)",
    "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
    "import socket; socket.gethostbyname('localhost')",
    "import socket; socket.socket(socket.AF_UNIX).connect('/run/x')",
    "import subprocess; subprocess.run(['true'])", "import os; os.system('true')", "import os; os.fork()",
    "import os; os.kill(os.getppid(), 0)",
    "import os; os.posix_spawn('/bin/true', ['true'], {})", "import os; os.execv('/bin/true', ['true'])",
])
def test_network_and_other_processes_are_refused(line):
    verdict, why, at = listing(line)
    assert (verdict, at) == ("fails", 2) and "refused by the auditor" in why, why


@pytest.mark.parametrize("line", [
    "import os; os.remove(w)", "import os; os.rename(w, 'x')", "import os; open('x', 'w'); os.replace('x', w)",
    "import os; os.link(w, 'x')", "import os; os.symlink(w, 'x')",
    "import os; os.chmod(w, 0)", "import os; os.utime(w, (0, 0))", "import os; os.truncate(w, 0)", "open(w, 'a')",
    "import os; os.open(w, os.O_WRONLY)",
    "from pathlib import Path; Path(w).write_text('')", "from pathlib import Path; Path(w).unlink()",
    "import os; os.mkdir(w + 'd')",
    "import os, shutil; shutil.rmtree(os.path.dirname(w))", "import os; os.remove(os.path.relpath(w))",
    "import sqlite3; sqlite3.connect(w)",
    "import os; os.remove('beside', dir_fd=os.open(os.path.dirname(w), os.O_RDONLY))",
    "import os; os.chdir(os.path.dirname(w)); os.remove('beside')",
])
def test_nothing_outside_its_folder_is_changed(tmp_path, line):
    witness = tmp_path / "beside"
    witness.write_text("tea")
    before = witness.stat()
    verdict, why, _ = listing(f"w = {str(witness)!r}", line)
    after = witness.stat()
    assert verdict == "fails" and "refused by the auditor" in why, why
    assert witness.read_text() == "tea" and (before.st_mode, before.st_mtime,
                                             before.st_nlink) == (after.st_mode, after.st_mtime, after.st_nlink)
    assert list(tmp_path.iterdir()) == [witness]


def test_the_callers_environment_is_out_of_reach(monkeypatch):
    monkeypatch.setenv("AUDIT_SECRET", "tea")
    assert listing("import os", "assert 'AUDIT_SECRET' not in os.environ")[0] == "runs"
    for path in ("/proc/{}/environ", "/proc/{}/cmdline", "/proc/self/../{}/environ"):
        assert listing("import os", f"open({path!r}.format(os.getppid()), 'rb').read()")[0] == "fails"


def test_the_kernel_refuses_what_c_code_tries(tmp_path):
    witness = tmp_path / "beside"
    witness.touch()
    c = "import ctypes, os, struct; c = ctypes.CDLL(None)"
    if listing(c, "assert c.syscall(444, None, 0, 1) >= 4")[0] != "runs":
        pytest.skip("this kernel has no Landlock of version 4, so the audit hook is the only guard")
    address = "struct.pack('=H', 2) + struct.pack('>H', 9) + bytes([127, 0, 0, 1]) + bytes(8)"
    for call, holds in ((f"c.unlink({os.fsencode(witness)!r})", "!= 0"),
                        (f"c.open({os.fsencode(witness)!r}, 1)", "< 0"), ("c.system(b'true')", "!= 0"),
                        ("c.open(b'own', 65, 438)", "> 0")):
        assert listing(c, f"assert {call} {holds}")[0] == "runs", call
    refused = ["c = ctypes.CDLL(None, use_errno=True)", f"c.connect(c.socket(2, 1, 0), {address}, 16)",
               "assert ctypes.get_errno() == 13"]
    assert listing(c, *refused)[0] == "runs"
    assert witness.exists()


# diagrams

@pytest.mark.parametrize("text, verdict, why, at", [
    ("graph LR\na --> b\n...", "dangles", "3 nodes, 1 link, 2 parts; not connected to the rest: ...", 4),
    ("graph LR\na --> b\nc", "dangles", "3 nodes, 1 link, 2 parts; not connected to the rest: c", 4),
    ("graph TD\nA[用户] --> B[商品]\nC[客服] --> D[回复]\nB --> E", "dangles",
     "5 nodes, 3 links, 2 parts; not connected to the rest: 回复, 客服", 4),
    ("graph LR\na", "dangles", "1 node, 0 links, 1 part; a diagram needs at least one link", 1),
    ("graph LR", "dangles", "0 nodes, 0 links, 0 parts; nothing is drawn", 1),
    ("graph LR\nask{买?} -- 是 --> a\nask -- 否 --> b{why?}", "dangles",
     "3 nodes, 2 links, 1 part; dead end: nothing follows 'why?'", 4),
    ("graph LR\nsubgraph s [盒子]\na --> b\nend\nsubgraph t\nc --> d\nend", "dangles",
     "4 nodes, 2 links, 2 parts; not connected to the rest: c, d, t", 6),
    ("graph LR\na --> b[f(x)]", "fails", "Mermaid did not expect PS", 3),
    ("graph LR\na -->", "fails", "Mermaid did not expect EOF", 3),
    ("grph LR\na --> b", "fails", "No diagram type detected for the given text.", 2),
    ("", "fails", "Mermaid source must not be empty", 2),
    ("graph LR\na --> b & c --> d{ok?} -.->|no| a\nd ==> e((end))", "hangs together",
     "5 nodes, 6 links, 1 part; ends: end", 1),
    ("graph LR\nsubgraph s\na\nb\nend\nsubgraph t\nc\nend\ns --> t", "hangs together",
     "3 nodes, 1 link, 1 part; ends: none", 1),
    ("flowchart LR\n用户 --> 商品 --> 用户", "hangs together", "2 nodes, 2 links, 1 part; ends: none", 1),
    ("sequenceDiagram\nA->>B: 你好", "is drawn", "sequence chart, its links are not checked", 1),
])
def test_diagrams(text, verdict, why, at):
    found = read_diagram(Piece("diagram", 1, text + "\n" if text else "", 2))
    assert (found.verdict, found.why, found.at) == (verdict, why, at)


# formulas

@pytest.mark.parametrize("tex, why, at", [
    (r"\frac{a}{b} = \text{点击率}", "", 1), (r"\begin{aligned}a &= b\\ c &= d\end{aligned}", "", 1), ("", "", 1),
    (r"\tag{1} x", "", 1),
    (r"\text{click_rate}", "KaTeX: Expected 'EOF', got '_' before _rate}", 1),
    ("\na\n= \\frac{1}{2", "KaTeX: Unexpected end of input in a macro argument, expected '}'", 3),
    ("\n\\begin{aligned}\na\n\\nosuch b\n\\end{aligned}",
     r"KaTeX: Undefined control sequence: \nosuch before \nosuch b", 4),
    (r"\left( x", r"KaTeX: Expected '\right', got 'EOF'", 1), ("x^2^2", "KaTeX: Double superscript", 1),
    ("{" * 10 ** 5, "KaTeX: ", 1),
])
def test_formulas(tex, why, at):
    found = render_formula(Piece("formula", 1, tex, 1))
    assert found.bad == bool(why) and found.why.startswith(why) and found.at == at, found
    assert not render_formula(Piece("formula", 1, "x", 1)).bad


# the command

def test_exit_codes_and_table(tmp_path, capsys):
    files = {"good": f"{FENCE}python\nprint(1)\n{FENCE}\n$$x$$\n", "bad": f"# 标题\n\n{FENCE}python\n1 / 0\n{FENCE}\n",
             "none": "text", "empty": ""}
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8-sig")
    assert main(["audit", str(tmp_path / "good")]) == 0
    assert capsys.readouterr().out.endswith("1 listing, 0 with a finding; 1 formula, 0 with a finding\n")
    assert main(["audit", str(tmp_path / "bad")]) == 1
    row = capsys.readouterr().out.splitlines()[1].split()
    assert row == "3 listing fails ZeroDivisionError: division by zero (line 4)".split()
    for name in ("none", "empty"):
        assert main(["audit", str(tmp_path / name)]) == 0
        assert "nothing to try" in capsys.readouterr().out


def test_unusable_input_is_named(tmp_path, capsys):
    (tmp_path / "gbk.md").write_bytes("用户参与度".encode("gbk"))
    (tmp_path / "zero.md").write_bytes(b"a\0b")
    for name, message in (("gbk.md", "is not UTF-8 text"), ("zero.md", "holds a zero byte"),
                          ("missing.md", "No such file"), (".", "Is a directory")):
        assert main(["audit", str(tmp_path / name)]) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.startswith("engagement-book audit: ") and message in err
    for arguments in ([], ["audit"], ["audit", "a", "b"], ["improve", "a"]):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 2


def test_the_command_is_installed_by_setup(tmp_path):
    config = ConfigParser(delimiters=["="])
    config.read(ROOT / "settings.ini", encoding="utf-8")
    command, _, where = config["DEFAULT"]["console_scripts"].partition("=")
    module, _, function = where.partition(":")
    assert command == "engagement-book" and getattr(importlib.import_module(module), function) is main
    assert '"console_scripts"' in (ROOT / "setup.py").read_text(encoding="utf-8")
    (tmp_path / "x.md").write_text("$$\\bad$$")
    run = f"import sys; from {module} import {function}; sys.exit({function}(['audit', 'x.md']))"
    done = subprocess.run([sys.executable, "-c", run], cwd=tmp_path, capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 1 and "Undefined control sequence" in done.stdout, done.stderr


# the article

@pytest.fixture(scope="module")
def found_in_article():
    path = article()
    if path is None:
        pytest.skip("the article is not part of the repository: put its file into ../shared/source/ or name it in "
                    "ENGAGEMENT_BOOK_ARTICLE")
    return audit(path.read_text(encoding="utf-8"))


def test_the_article_has_what_the_ledger_counts(found_in_article):
    assert Counter(f.kind for f in found_in_article) == {"listing": 17, "diagram": 16, "formula": 23}
    assert [f for f in found_in_article if f.kind == "listing" and not f.bad] == []
    assert [f.line for f in found_in_article if f.kind == "formula" and f.bad] == [437, 551]
    assert "Expected 'EOF', got '_'" in next(f.why for f in found_in_article if f.line == 437)


def test_first_errors_of_the_articles_listings(found_in_article):
    """The ledger's counts by kind of error, and the lines it names for errors that come first and need no installed
    package."""
    told = dict((kind, int(n))
                for n, kind in re.findall(r"(\d+) (\w+Error)", ledger()["full-summary-listings-run"]["finding"]))
    listings = [f for f in found_in_article if f.kind == "listing"]
    assert Counter(f.why.partition(":")[0] for f in listings) == told and sum(told.values()) == len(listings)
    at = {f.at: f.why for f in listings}
    first = ["2.1.3-listing-syntax", "2.3.2-cnn-listing-undefined", "2.3.2-rnn-listing-undefined",
             "2.3.3-listing-adam-torch-import", "4.1.1-csv-missing",
             "4.1.3-return-outside", "4.2.1-csv-missing", "4.2.2-pd-missing", "4.3.2-syntax", "4.3.3-csv"]
    for cid in first:
        error, line = re.search(r"(\w+Error)\b.*?line (\d+)", ledger()[cid]["finding"]).groups()
        assert at[int(line)].startswith(error), cid


def test_the_articles_diagrams(found_in_article):
    "Nodes, links and parts of each diagram as the ledger found them with Mermaid itself."
    entries = [c for c in ledger().values() if c["kind"] == "diagram" and "edges" in c["finding"]]
    compared = 0
    for f in (f for f in found_in_article if f.kind == "diagram"):
        for c in entries:
            start, end = (int(n) for n in c["lines"].split("-"))
            if start <= f.line < end and (
                told := re.search(r"(\d+) nodes, (\d+) edges(?:, (\d+) (?:disconnected )?component)?", c["finding"])):
                nodes, links, parts = (int(n)
                                       for n in re.match(r"(\d+) nodes?, (\d+) links?, (\d+) part", f.why).groups())
                assert (nodes, links) == (int(told[1]),
                                          int(told[2])) and (told[3] is None or parts == int(told[3])), c["id"]
                compared += 1
    assert compared >= 14
    assert [f.line for f in found_in_article if f.kind == "diagram" and f.bad] == [276, 333]
    assert "..." in next(f.why for f in found_in_article if f.line == 276)
