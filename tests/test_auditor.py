"""The auditor: small texts of our own with one defect each, the command line, and the article itself where it is at
hand."""
import fcntl
import importlib
import os
import re
import struct
import subprocess
import sys
import termios
import time
from collections import Counter
from configparser import ConfigParser
from pathlib import Path

import pytest

from engagement_book.workbench.auditor import audit as command
from engagement_book.workbench.auditor import listings as outside
from engagement_book.workbench.auditor.audit import audit, main, table
from engagement_book.workbench.auditor.charts import read_diagram
from engagement_book.workbench.auditor.corpus import score
from engagement_book.workbench.auditor.formulas import render_formula
from engagement_book.workbench.auditor.listings import Bounds, bubblewrap, missing_walls, run_listing, run_session
from engagement_book.workbench.auditor.pieces import Finding, Piece, pieces
from engagement_book.workbench.claim import ledger
from engagement_book.workbench.house import ROOT

FENCE = "`" * 3
CORPUS = Path(__file__).with_name("auditor_corpus")
# where walls are missing, our own listings may run without
walled = pytest.mark.skipif(bool(missing_walls()), reason=f"no wall around {', '.join(missing_walls())} on this system")


def article() -> Path | None:
    "The article, which is not part of the repository: from the environment, or from its place beside the repository."
    given = os.environ.get("ENGAGEMENT_BOOK_ARTICLE")
    found = [Path(given)] if given else sorted((ROOT.parent / "shared" / "source").glob("*.txt"))
    return next((p for p in found if p.is_file()), None)


def listing(*lines: str, **limits):
    how = limits.pop("how", "script")
    piece = Piece("listing", 1, "\n".join(lines), 2, how=how)
    found = run_listing(piece, Bounds(**{"wall": 30, "trust": True, **limits}))
    return found.verdict, found.why, found.at


def cells(*sources: str, **limits):
    "Verdicts on the cells of one document."
    document = [Piece("listing", 10 * i, text, 10 * i + 1, how="cell") for i, text in enumerate(sources, 1)]
    return [(f.verdict, f.why) for f in run_session(document, Bounds(**{"wall": 30, "trust": True, **limits}))]


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


@pytest.mark.parametrize("info, how", [
    ("{code-cell}", "cell"), ("{code-cell} ipython3", "cell"), ("{python}", "cell"), ("{python, echo=FALSE}", "cell"),
    ("{python name, fig.width=3}", "cell"), ("{code-block} python", "script"), ("{code} py", "script"),
    ("{.python .numberLines}", "script"), ("python{1,3}", "script"), ("python:main.py", "script"), ("PYTHON", "script"),
    ("python,ignore", "script"), ("pycon", "doctest"), ("ipython", "ipython"), ("{.python .input}", "cell")])
def test_every_dialect_names_python(info, how):
    (piece,) = pieces(f"{FENCE}{info}\nx\n{FENCE}\n")
    assert (piece.kind, piece.how, piece.first) == ("listing", how, 2)


def test_the_corpus_has_no_false_alarm_and_no_miss():
    found = score(CORPUS, Bounds(seconds=10, wall=8, trust=True, beside=str(CORPUS)))
    assert found.wrong == {} and found.right > 110


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
    (["raise ValueError('first\\nsecond')"], "ValueError: first", 2),
    (["class E(Exception): __str__ = None", "raise E"], "E", 3),
    (["import sys", "sys.exit('bad')"], "SystemExit: bad", 3),
    (["import os", "os._exit(3)"], "ended with code 3 before its last line", 1),
    (["import ctypes", "ctypes.string_at(0)"], "killed by SIGSEGV", 3),
    (["import os", "os._exit(0)", "1 / 0"], "ended with code 0 before its last line", 1),
    (["import unittest", "class T(unittest.TestCase):", "    def test(self): assert 0", "unittest.main()"],
     "SystemExit", 5),
    (["await x"], "NameError: ", 2), (["import math", "math.cups"], "AttributeError: ", 3),
    (["import os.cups"], "ModuleNotFoundError: ", 2),
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
def test_network_and_other_processes_are_out_of_reach(line):
    verdict, why, at = listing(line)
    assert (verdict, at) == ("not tried", 2) and why.startswith(("no network: ", "confined: ")), why


@pytest.mark.parametrize("lines, why", [
    (["import no_such_module_here"], "package not installed: no_such_module_here"), (["input()"], "it asks for input"),
    (["try:", "    import no_such_module_here", "except ImportError as e:", "    raise RuntimeError('no') from e"],
     "package not installed: no_such_module_here"),
    (["import argparse", "p = argparse.ArgumentParser()", "p.add_argument('x')", "p.parse_args()"],
     "it wants arguments of a command line"),
    (["import urllib.request", "urllib.request.urlopen('https://example.org')"], "no network"),
    (["import urllib.request as u", "try: u.urlopen('https://example.org')", "except OSError: x = None", "x.read()"],
     "no network"),
    (["import multiprocessing as m", "with m.Pool(2) as p: p.map(abs, [1])"], "confined"),
])
def test_what_says_nothing_about_the_listing_is_not_tried(lines, why):
    verdict, found, _ = listing(*lines)
    assert verdict == "not tried" and found.startswith(why)


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
    assert verdict == "not tried" and why.startswith("confined: "), why
    assert witness.read_text() == "tea" and (before.st_mode, before.st_mtime,
                                             before.st_nlink) == (after.st_mode, after.st_mtime, after.st_nlink)
    assert list(tmp_path.iterdir()) == [witness]


@walled
@pytest.mark.parametrize("way", [
    "open(f'/proc/{pid}/environ', 'rb').read()", "open(f'/proc/{pid}/cmdline', 'rb').read()",
    "open(f'/proc/self/../{pid}/environ', 'rb').read()", "open(f'/proc/{pid}/task/{pid}/environ', 'rb').read()",
    "os.open('environ', 0, dir_fd=os.open(f'/proc/{pid}', os.O_PATH))",
    "os.open(f'{pid}/environ', 0, dir_fd=os.open('/proc', os.O_PATH))",
    "os.chdir(f'/proc/{pid}'); open('environ').read()", "os.listdir(f'/proc/{pid}/fd')",
    "open(f'/proc/{pid}/mem', 'rb').read(1)", "open(secret).read()", "os.listdir(os.path.dirname(secret))",
    "os.symlink(secret, 'x'); open('x').read()", "os.link(secret, 'x')",
    "open(f'/proc/self/root{secret}').read()", "c.open(secret.encode(), 0) < 0 and 1 / 0",
    "c.open(f'/proc/{pid}/environ'.encode(), 0) < 0 and 1 / 0"])
def test_the_callers_environment_and_files_cannot_be_read(tmp_path, monkeypatch, way):
    secret = tmp_path / "secret"
    secret.write_text("tea")
    monkeypatch.setenv("AUDIT_SECRET", "tea")
    head = f"import ctypes, os; c = ctypes.CDLL(None); pid = {os.getpid()}; secret = {str(secret)!r}"
    assert listing(head, "assert 'AUDIT_SECRET' not in os.environ")[0] == "runs"
    for who in (os.getpid(), "os.getppid()"):        # ours, and the keeper's
        done = listing(head, f"pid = {who}", "try:", f"    {way}", "except (OSError, ZeroDivisionError): pass",
                       "else: raise AssertionError('read')")
        assert done[0] == "runs", done


@walled
@pytest.mark.parametrize("call, holds", [
    ("c.unlink({w!r})", "!= 0"), ("c.open({w!r}, 1)", "< 0"), ("c.open({w!r}, 0)", "< 0"),
    ("c.system(b'true')", "!= 0"),
    ("c.open(b'own', 65, 438)", "> 0"), ("c.fork()", "< 0"), ("c.vfork()", "< 0"), ("c.setsid()", "< 0"),
    ("c.socket(2, 1, 0)", "< 0"), ("c.socket(2, 2, 0)", "< 0"), ("c.socket(1, 1, 0)", "< 0"),
    ("c.socket(16, 3, 0)", "< 0"),
    ("c.kill(os.getppid(), 0)", "< 0"), ("c.kill(-1, 0)", "< 0"), ("c.ptrace(16, os.getppid(), 0, 0)", "< 0"),
    ("c.unshare(0x10000000)", "< 0"), ("c.syscall(425, 1, 0)", "< 0"), ("c.execv(b'/bin/true', None)", "< 0")])
def test_the_kernel_refuses_what_c_code_tries(tmp_path, call, holds):
    witness = tmp_path / "beside"
    witness.write_text("tea")
    call = call.format(w=os.fsencode(witness))
    done = listing("import ctypes, os; c = ctypes.CDLL(None)", f"assert {call} {holds}")
    assert done == ("runs", "", 1) and witness.read_text() == "tea"


# what comes back

@pytest.mark.parametrize("said", [
    'b\'{"cell": 0, "why": ""}\\n\'', 'b\'{"word": "x", "cell": 0}\\n\' * 99', "b'[' * 10 ** 5 + b'\\n'",
    "b'9' * 10 ** 5 + b'\\n'", "bytes(range(256)) * 99", 'b\'{"code": 0, "cpu": 0}\\n\'', "b'Timeout'"])
def test_a_listing_cannot_take_back_its_failure(said):
    write = ["import os", "for fd in range(3, 99):", f"    try: os.write(fd, {said})", "    except OSError: pass"]
    assert listing(*write, "1 / 0") == ("fails", "ZeroDivisionError: division by zero", 6)
    assert listing(*write)[0] == "runs"
    assert listing(*write, "os._exit(0)")[0] == "fails"
    assert [v for v, _ in cells("\n".join(write), "1 / 0", "2")] == ["runs", "fails", "runs"]


def test_what_a_listing_reports_is_bounded_and_checked():
    flood = ["import os", "while True:", "    for fd in range(3, 400):", "        try: os.write(fd, bytes(10 ** 5))",
             "        except OSError: pass"]
    assert listing(*flood)[1] == "it floods the auditor's pipe"
    # one that looks for the auditor's word in its own memory can report a cell twice; then it is not believed
    peek = ["import sys, json, os", "frame = sys._getframe()",
            "while 'tell' not in frame.f_locals: frame = frame.f_back",
            "frame.f_locals['tell'](cell=0, why='')", "1 / 0"]
    assert listing(*peek)[0] == "fails"
    long = listing("raise ValueError('tea ' * 10 ** 6)")
    assert len(long[1]) <= 300 and long[0] == "fails"
    assert listing("class A(ValueError):", "    errno = property(lambda s: 1 / 0)", "raise A('x')")[0] == "fails"


def test_messages_are_plain():
    found = Finding("listing", 1, "fails", "a\nb\x1b]0;tea\x07 \u202e", 1)
    assert found.why == "a b\\x1b]0;tea\\x07 \\u202e" and len(table([found]).split("\n")) == 4
    wild = audit(f'{FENCE}mermaid\ngraph LR\na["x<br>y\x1b[2J"] --> b{{"q\nr?"}}\n{FENCE}\n')
    assert "\x1b" not in table(wild) and len(table(wild).split("\n")) == 4
    assert "\x1b" not in listing("raise ValueError('\\x1b[2J')")[1]


def test_all_that_a_listing_started_is_ended(tmp_path):
    "Children that leave their group, their session and their parent; the keeper adopts them."
    program = ("import os, time; from engagement_book.workbench.engine.walls import adopt_orphans; adopt_orphans()\n"
               "for i in range(3):\n    if os.fork() == 0:\n        os.setsid()\n        if os.fork(): os._exit(0)\n"
               "        time.sleep(99)\nprint('ready', flush=True); time.sleep(99)")
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, start_new_session=True,
                               env={**os.environ, "PYTHONPATH": str(ROOT)})
    process.stdout.readline()
    until = time.monotonic() + 5
    while len(left := outside._below(process)) < 3 and time.monotonic() < until:
        time.sleep(.05)
    if sys.platform == "linux":
        assert len(left) == 3
    outside._end(process)
    assert process.poll() is not None and not any(p.is_running() and p.status() != "zombie" for p in left)


def test_time_memory_and_disk_hold():
    start = time.monotonic()
    assert listing("import signal, time", "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 64))",
                   "while True:", "    try: time.sleep(99)", "    except BaseException: pass", wall=1)[0] == "times out"
    assert time.monotonic() - start < 8
    assert listing("import threading, time", "threading.Thread(target=time.sleep, args=[99]).start()",
                   wall=1)[0] == "times out"
    files = listing("for i in range(99): open(f'{i}', 'wb').write(bytes(10 ** 7))", disk=40)
    assert files[0] == "fails" and re.search("more than 40 MB of files|No space left", files[1])
    if sys.platform == "linux":          # deleted, but open; and memory that is no process's own
        hidden = listing("import os", "kept = []", "for i in range(99):", "    f = open('x', 'wb')",
                         "    f.write(bytes(10 ** 7)); f.flush(); os.remove('x'); kept.append(f)",
                         "import time; time.sleep(9)", disk=40)
        assert hidden[0] == "fails", hidden
        shared = listing("import mmap", "kept = []", "while True:", "    m = mmap.mmap(-1, 10 ** 7)",
                         "    m.write(bytes(10 ** 7)); kept.append(m)", megabytes=300)
        assert shared[:2] == ("fails", "MemoryError: more than 300 MB"), shared


def test_where_the_system_cannot_confine_nothing_runs_without_trust(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "missing_walls", lambda: ("files",))
    (tmp_path / "x.md").write_text(f"{FENCE}python\nx = 1\n{FENCE}\n\n{FENCE}{{python}}\ny = 1\n{FENCE}\n")
    assert main(["audit", str(tmp_path / "x.md")]) == 3
    out, err = capsys.readouterr()
    assert out.count("not tried  this system cannot confine it (no wall around files)") == 2 and "see --trust" in err
    assert main(["audit", "--trust", str(tmp_path / "x.md")]) == 0
    assert "listings run unconfined" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform != "linux" or bool(bubblewrap()), reason="takes Landlock away where it is all")
def test_a_linux_without_landlock_is_found_out():
    "The kernel is made to answer that it has no Landlock; so the child sees it, and does not run the listing."
    program = """
import ctypes, struct
from engagement_book.workbench.auditor.listings import Bounds, missing_walls, run_listing
from engagement_book.workbench.auditor.pieces import Piece
steps = b"".join(struct.pack("=HBBI", *s) for s in [
    (0x20, 0, 0, 0), (0x15, 0, 1, 444), (6, 0, 0, 0x50000 | 38), (6, 0, 0, 0x7FFF0000)])
held = ctypes.create_string_buffer(steps)
libc = ctypes.CDLL(None)
libc.prctl(38, 1, 0, 0, 0)
assert libc.prctl(22, 2, struct.pack("@HP", 4, ctypes.addressof(held)), 0, 0) == 0
piece = Piece("listing", 1, "x = 1", 2)
print(missing_walls(), run_listing(piece).verdict, run_listing(piece, Bounds(trust=True)).verdict, sep="|")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.stdout.strip() == "('files',)|not tried|runs", done.stderr


@pytest.mark.skipif(not bubblewrap(), reason="bubblewrap is not installed, or does not work here")
def test_bubblewrap_is_used(tmp_path):
    (tmp_path / "secret").touch()
    look = ["import os", "assert os.getpid() < 9",
            f"assert not os.path.exists({str(tmp_path / 'secret')!r})", "assert len(os.listdir('/proc/self/net')) >= 0",
            "import numpy, pandas"]
    assert listing(*look)[:2] == ("runs", "")


def test_cells_share_a_session_and_one_failure_is_one_finding():
    found = cells("x = 1", "import no_such_module_here as t", "y = t.cup(x)", "y + 1", "x / 0", "x + 1", "await_ = x",
                  "import asyncio\nawait asyncio.sleep(0)", "%%bash\nls", "!ls", "%no_such_magic", "%%time\nz = x",
                  "assert z == 1", "def f(:")
    assert [v for v, _ in found] == [
        "runs", "not tried", "not tried", "not tried", "fails", "runs", "runs", "runs", "not tried", "not tried",
        "not tried", "runs", "runs", "fails"], found
    assert "it builds on y of line 30" in found[3][1]
    ended = cells("x = 1", "import os; os._exit(0)", "x")
    assert ended == [("runs", ""), ("fails", "ended with code 0 before its last line"),
                     ("not tried", "the session ended in line 20")]
    assert [v for v, _ in cells("x = 1", "while True: pass", "x", seconds=1)] == ["runs", "times out", "not tried"]


def test_a_long_file_shows_how_far_it_is(tmp_path):
    (tmp_path / "x.md").write_text("$$x$$\n\n" * 300)
    run = "import sys; from engagement_book.workbench.auditor.audit import main; sys.exit(main(['audit', 'x.md']))"
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    os.set_blocking(ours, False)
    with open(ours, "rb", buffering=0) as screen, open(theirs, "wb"):
        done = subprocess.run([sys.executable, "-c", run], cwd=tmp_path, stdout=subprocess.PIPE, stderr=theirs,
                              env={**os.environ, "PYTHONPATH": str(ROOT)})
        shown = screen.read(1 << 16)
    assert done.returncode == 0 and b"/300" in shown and b"/300" not in done.stdout


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
    (tmp_path / "sh").write_text(f"{FENCE}{{code-cell}} bash\nls\n{FENCE}\n{FENCE}sql\nx\n{FENCE}\n")
    assert main(["audit", str(tmp_path / "sh")]) == 3
    out = capsys.readouterr().out
    assert "1 listing, 0 with a finding, 1 not tried" in out and "passed over: 1 in sql" in out
    for name in ("none", "empty"):
        assert main(["audit", str(tmp_path / name)]) == 0
        assert "nothing to try" in capsys.readouterr().out


def test_unusable_input_is_named(tmp_path, capsys):
    (tmp_path / "gbk.md").write_bytes("用户参与度".encode("gbk"))
    (tmp_path / "zero.md").write_bytes(b"a\0b")
    for name, message in (("gbk.md", "is not UTF-8 text"), ("zero.md", "holds a zero byte"),
                          ("missing.md", "No such file"), (".", "Is a directory"), ("\x1b[2J", "\\x1b[2J")):
        assert main(["audit", str(tmp_path / name)]) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.startswith("engagement-book audit: ") and message in err
    for arguments in ([], ["audit"], ["audit", "a", "b"], ["improve", "a"],
                      ["audit", "--wall", "0", "a"], ["audit", "--seconds", "x", "a"]):
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
    assert [f for f in found_in_article if f.kind == "listing" and f.verdict == "runs"] == []
    assert [f.line for f in found_in_article if f.kind == "formula" and f.bad] == [437, 551]
    assert "Expected 'EOF', got '_'" in next(f.why for f in found_in_article if f.line == 437)


def test_first_errors_of_the_articles_listings(found_in_article):
    """The ledger's counts by kind of error, and the lines it names for errors that come first and need no installed
    package."""
    told = dict((kind, int(n))
                for n, kind in re.findall(r"(\d+) (\w+Error)", ledger()["full-summary-listings-run"]["finding"]))
    listings = [f for f in found_in_article if f.kind == "listing"]
    kinds = Counter(re.search(r"\b\w+Error\b", f.why)[0] for f in listings)
    assert kinds == told and sum(told.values()) == len(listings)
    at = {f.at: f.why for f in listings}
    first = ["2.1.3-listing-syntax", "2.3.2-cnn-listing-undefined", "2.3.2-rnn-listing-undefined",
             "2.3.3-listing-adam-torch-import", "4.1.1-csv-missing",
             "4.1.3-return-outside", "4.2.1-csv-missing", "4.2.2-pd-missing", "4.3.2-syntax", "4.3.3-csv"]
    for cid in first:
        error, line = re.search(r"(\w+Error)\b.*?line (\d+)", ledger()[cid]["finding"]).groups()
        assert error in at[int(line)], cid


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
