"""The two pages of the service desk as people meet them: in Chromium, against one desk that this module starts. No book
is built, and nothing waits for a clock: only for what must become true."""
import json
import re
import time
import urllib.request
from pathlib import Path

import pytest
from axe_playwright_python.base import AXE_SCRIPT

from engagement_book.service.desk.api import CONFLICTS
from engagement_book.workbench.house import ROOT

PAGES = ROOT / "nbs" / "_desk"
DESK, PHONE = 1280, 390
EVIL = '<img src=x onerror="document.title=\'hit\'"><script>document.title="hit"</script>'
TOKEN = "token-of-the-tests-0123456789abcdef"
FAST = {"burst": 10_000, "per_second": 10_000, "new_burst": 10_000}


class Server:
    "A desk on one port and one store that can be stopped and started again."

    def __init__(self, folder: Path):
        self.store, self.port = folder / "desk.db", 0
        self.start()

    def start(self) -> None:
        from engagement_book.service.desk.start import start

        self.running = start(self.store, self.port, token=TOKEN, pages=str(PAGES), **FAST)
        self.url = self.running.chat.rstrip("/")
        self.port = int(self.url.rsplit(":", 1)[1])

    def stop(self, kill: bool = False) -> None:
        if kill:
            self.running.process.kill()
            self.running.process.wait(10)
        self.running.stop()


class Customer:
    "Somebody without a page: a conversation by the interface."

    def __init__(self, desk: Server, *texts: str, person: bool = True):
        self.url, self.cookie, self.said = desk.url, "", 0
        self.path = "/api/conversations/" + self.ask("POST", "/api/conversations", {})["id"]
        for text in texts:
            self.say(text)
        if person:
            self.ask("POST", self.path + "/handover", {})

    def ask(self, method, path, body=None):
        head = {"Content-Type": "application/json", "Cookie": self.cookie}
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(self.url + path, data, head, method=method)
        with urllib.request.urlopen(asked, timeout=20) as r:
            self.cookie = (r.headers["Set-Cookie"] or self.cookie).partition(";")[0]
            return json.load(r)

    def say(self, text: str) -> None:
        self.said += 1
        self.ask("POST", self.path + "/messages", {"id": f"message-{self.said}", "text": text})

    def heard(self, role="agent") -> list[str]:
        return [t["text"] for t in self.ask("GET", self.path)["turns"] if t["role"] == role]


@pytest.fixture(scope="module")
def desk(tmp_path_factory, browser):
    server = Server(tmp_path_factory.mktemp("desk"))
    yield server
    server.stop()


@pytest.fixture
def people(browser, desk):
    "open(width, …) is a browser with its own cookies. Afterwards: no error, no request to another host."
    contexts, asked, errors = [], set(), []

    def open_(width=DESK, locale="zh-CN", path="/", **kw):
        context = browser.new_context(viewport={"width": width, "height": 800}, locale=locale, **kw)
        contexts.append(context)
        context.set_default_timeout(15_000)
        context.on("request", lambda r: asked.add(r.url))
        page = context.new_page()
        page.on("pageerror", lambda e: errors.append(str(e)))
        page.on("dialog", lambda d: (errors.append(f"dialog {d.message}"), d.dismiss()))
        page.on("console", lambda m: "Content Security Policy" in m.text and errors.append(m.text))
        page.goto(desk.url + path)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert not errors, errors
    foreign = {u for u in asked if not u.startswith((desk.url + "/", "data:", "blob:"))}
    assert asked and not foreign, foreign


def agent(people, name="小林", **kw):
    page = people(path=f"/agent#token={TOKEN}", **kw)
    page.locator("#name").fill(name)
    page.locator("#login button").click()
    page.locator("#side").wait_for()
    assert TOKEN not in page.url
    return page


def say(page, text):
    page.locator("#text").fill(text)
    page.keyboard.press("Enter")


def texts(page, role="customer"):
    return page.locator(f'[data-role="{role}"]:not(.unsent) .bubble').all_inner_texts()


def stored(page):
    "What the customer of this page has said, as the desk has it."
    return page.evaluate("""async () => (await (await fetch(`/api/conversations/${conv.id}`)).json()).turns
      .filter(t => t.role === 'customer').map(t => t.text)""")


def until(true, what="", seconds=15):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, what or "it did not become true"
        time.sleep(.02)


def sent(page, n):
    "Waits until n messages of the customer have come back from the desk."
    page.locator('[data-role="customer"]:not(.unsent)').nth(n - 1).wait_for()


def all_sent(page):
    until(lambda: page.locator(".unsent").count() == 0, "nothing waits to be sent")


def mine(page):
    "The thread that the agent sees."
    return page.locator(".thread:not([hidden])")


def reply(page, text):
    mine(page).locator("textarea").fill(text)
    page.keyboard.press("Enter")


def ask_for_a_person(page, text):
    say(page, text)
    sent(page, 1)
    page.locator("#human").click()
    page.locator('#state[data-state="waiting"]').wait_for()


def take(page, text):
    page.locator("#waiting button", has_text=text).click()
    mine(page).get_by_role("button", name=re.compile("接入|Take")).click()
    mine(page).locator("textarea").wait_for()


# ---- the files

def test_pages_hold_nothing_inline_and_name_no_other_host():
    files = {p.name: p.read_text(encoding="utf-8") for p in PAGES.iterdir() if p.is_file()}
    assert {"chat.html", "chat.js", "agent.html", "agent.js", "common.js", "desk.css", "desk.svg"} <= files.keys()
    for name, text in files.items():
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|//cdn", text), name
        if name.endswith(".html"):
            assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:|<script(?![^>]*\ssrc=)", text), name
            ids = re.findall(r'\sid="([^"]+)"', text)
            assert len(ids) == len(set(ids)), name
        if name.endswith(".js"):
            unsafe = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function"
            assert not re.search(unsafe, text), name


@pytest.mark.parametrize("name", ["chat", "agent"])
def test_every_word_is_there_in_both_languages(name):
    script = (PAGES / f"{name}.js").read_text(encoding="utf-8")
    pairs = re.findall(r'^  "([\w.]+)": \[\s*"(.*?)",\s*"(.*?)"\],?$', script, flags=re.M | re.S)
    words = {key: (zh, en) for key, zh, en in pairs}
    assert len(words) > 50
    for key, (zh, en) in words.items():
        assert sorted(re.findall(r"\{\w+\}", zh)) == sorted(re.findall(r"\{\w+\}", en)), key
        assert re.search(r"[\u4e00-\u9fff]", zh) and not re.search(r"[\u4e00-\u9fff]", en), key
    page = (PAGES / f"{name}.html").read_text(encoding="utf-8")
    used = set(re.findall(r'data-t(?:-label|-placeholder)?="([\w.]+)"', page))
    used |= set(re.findall(r'\bt(?:\(|: )"([\w.]+)"', script))
    assert not used - words.keys()
    refusals = {"closed"} if name == "chat" else CONFLICTS.keys() - {"conflict"}      # that one is a fault of a page
    assert not {f"code.{code}" for code in refusals | {"too_many", "unknown"}} - words.keys()


# ---- the customer

def test_an_answer_with_its_trace_stays_over_a_reload_and_on_paper(people):
    page = people()
    assert page.locator("html").get_attribute("lang") == "zh-CN"
    steady = page.locator(".languages, .composer")
    steady.evaluate_all("all => all.forEach(e => { e.was = e.getBoundingClientRect() })")
    page.locator("#examples button").first.click()
    sent(page, 1)
    trace = page.locator('[data-role="desk"] .trace').last
    trace.wait_for()
    assert not trace.locator("dl").is_visible()
    trace.locator("summary").click()
    for word in ("意图", "概率", "槽位", "规则", "来源"):
        assert trace.get_by_text(word, exact=True).is_visible()
    assert page.locator('#log[role="log"][aria-live="polite"]').count() == 1
    assert page.locator('[data-role="customer"] .bubble').get_attribute("lang") == "zh-CN"
    moved = "all => all.some(e => { const r = e.getBoundingClientRect(); return r.x !== e.was.x || r.y !== e.was.y })"
    assert steady.count() == 2 and not steady.evaluate_all(moved), "what is pressed stays where it was"
    page.get_by_role("button", name="English").click()
    assert page.locator("html").get_attribute("lang") == "en" and trace.get_by_text("Intent", exact=True).is_visible()
    assert page.locator('[data-role="customer"] .bubble').get_attribute("lang") == "zh-CN", "said in Chinese"
    with page.expect_download() as file:
        page.get_by_role("link", name="Save a copy").click()
    assert page.locator('[data-role="customer"] .bubble').inner_text() in Path(file.value.path()).read_text("utf-8")
    say(page, "مرحبا")
    say(page, "运费多少？" * 50)
    say(page, "How much is shipping? " * 20)
    sent(page, 4)
    until(lambda: page.locator('[data-role="desk"]').count() == 5)
    assert page.locator('[data-role="customer"] .bubble').nth(1).get_attribute("lang") == "", "no language we know"
    page.locator("#text").fill("还有一件事")

    # a reload, and a second tab
    before = page.locator("#turns .bubble").all_inner_texts()
    page.reload()
    page.get_by_role("button", name="Talk to a person", exact=True).wait_for()
    assert page.locator('[aria-pressed="true"]').inner_text() == "English", "the switch is remembered"
    until(lambda: page.locator("#turns .bubble").all_inner_texts() == before)
    assert page.locator("#text").input_value() == "还有一件事"
    second = page.context.new_page()
    second.goto(page.url)
    until(lambda: second.locator("#turns .bubble").all_inner_texts() == before, "a second tab finds it too")

    # stillness, and paper
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    assert page.evaluate("document.getAnimations().length") == 0
    page.emulate_media(media="print")
    assert not page.locator(".foot").is_visible() and not page.locator(".tools").is_visible()
    assert page.locator("#paper").is_visible(), "which conversation, and when"
    assert page.locator("#log").evaluate("e => e.scrollHeight <= e.clientHeight + 1"), "no box that scrolls"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_a_script_stays_text_for_the_customer_and_for_the_agent(people):
    page = people()
    ask_for_a_person(page, EVIL)
    other = agent(people, name='<b id="x">Lin</b>')
    take(other, "<img")
    reply(other, EVIL)
    page.locator('[data-role="agent"]').wait_for()
    for seen in (page, other):
        assert texts(seen) == [EVIL] and texts(seen, "agent") == [EVIL]
        assert seen.locator(".log img, .log script, .log b, .rows img, #x, #state b").count() == 0
        assert seen.title() != "hit"
    assert "<b id=" in page.locator("#state").inner_text()
    other.locator("#tab-stored").click()
    other.locator("#stored button", has_text="<img").first.wait_for()
    assert other.locator("#stored img").count() == 0 and other.title() != "hit"


def test_what_is_typed_while_the_server_is_away_goes_once_and_in_order(people, desk):
    page, fresh = people(), people(locale="en-US")
    say(page, "第一句")
    sent(page, 1)
    desk.stop(kill=True)
    try:
        page.locator('#state[data-state="offline"]').wait_for()
        for text in ("第二句", "第三句"):
            say(page, text)
        say(fresh, "before there is a conversation")
        say(fresh, "and a second one")
        fresh.locator(".unsent").nth(1).wait_for()
        fresh.locator("#banner").wait_for()
        assert fresh.get_by_role("button", name="Retry").count() == 2
        again = fresh.get_by_role("button", name="Try now", include_hidden=True)
        assert again.is_visible()
    finally:
        desk.start()
    again.evaluate("e => e.click()")               # it may have gone by itself
    sent(fresh, 2)
    sent(page, 3)                                  # by itself
    page.reload()
    sent(page, 3)
    for seen, said in ((page, ["第一句", "第二句", "第三句"]),
                       (fresh, ["before there is a conversation", "and a second one"])):
        all_sent(seen)
        assert texts(seen) == stored(seen) == said


def test_an_answer_that_is_lost_is_not_sent_twice_and_one_refused_offers_another_try(people):
    page = people()
    say(page, "一")
    sent(page, 1)
    lost = []

    def lose(route):
        if len(lost) < 2:
            lost.append(route.fetch().json())      # the server has it, the page never hears
            route.abort()
        else:
            route.continue_()
    page.route("**/messages", lose)
    say(page, "二")
    say(page, "三")
    page.reload()                                  # in the middle of it
    sent(page, 3)
    all_sent(page)
    assert lost and texts(page) == stored(page) == ["一", "二", "三"]

    page.unroute("**/messages")
    page.route("**/messages", lambda r: r.fulfill(status=422, json={"detail": "<i>no</i>", "code": "no"}))
    say(page, "会被拒绝")
    failed = page.locator(".failed")
    failed.wait_for()
    assert "<i>no</i>" in failed.inner_text()
    page.unroute("**/messages")
    too_many = {"status": 429, "headers": {"Retry-After": "1"}, "json": {"detail": "too many", "code": "too_many"}}
    page.route("**/messages", lambda r: r.fulfill(**too_many), times=1)
    say(page, "下一句照样发出")
    page.locator("#banner", has_text="稍后会自动继续发送").wait_for()
    sent(page, 4)
    failed.get_by_role("button", name="重试").click()
    sent(page, 5)
    assert texts(page)[3:] == ["下一句照样发出", "会被拒绝"] and page.locator(".failed").count() == 0


def test_what_enter_sends_and_what_not(people):
    page = people()
    say(page, "   \n ")
    say(page, "长" * 501)
    assert "1" in page.locator("#left").inner_text() and page.locator("#text").get_attribute("aria-invalid") == "true"
    page.locator("#text").fill("ni hao")           # an input method uses Enter itself
    for more in ("isComposing: true", "keyCode: 229"):
        page.evaluate("document.getElementById('text').dispatchEvent(new KeyboardEvent('keydown', "
                      f"{{key: 'Enter', bubbles: true, cancelable: true, {more}}}))")
    assert page.locator("#text").input_value() == "ni hao" and page.locator("#turns li").count() == 0
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("x")
    assert page.locator("#text").input_value() == "ni hao\nx"
    held = []
    page.route("**/messages", lambda route: held.append(route))
    page.keyboard.press("Enter")
    page.locator(".unsent .going").wait_for()      # on its way
    page.locator(".unsent .bubble").evaluate("e => { e.was = e.parentNode.offsetHeight }")
    until(lambda: page.evaluate("true") and held)  # asking the page lets the request come here
    held[0].continue_()
    page.unroute("**/messages")
    sent(page, 1)
    same = page.locator('[data-role="customer"] .bubble').evaluate("e => e.was === e.parentNode.offsetHeight")
    assert same, "what arrives is neither drawn anew nor moved"
    say(page, "👍" * 400)                          # 800 halves of UTF-16, 400 characters
    sent(page, 2)
    assert texts(page) == ["ni hao\nx", "👍" * 400]


def test_by_keyboard_alone(people):
    page = people(locale="en-US")

    def tab_to(selector, key="Tab"):
        for _ in range(60):
            if page.evaluate("s => document.activeElement.matches(s)", selector):
                shown = page.evaluate("""() => [document.activeElement, document.activeElement.parentNode]
                  .map(e => getComputedStyle(e))
                  .some(s => s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2)""")
                assert shown, f"the focus on {selector} is seen"
                return
            page.keyboard.press(key)
        raise AssertionError(f"{selector} is not reached")

    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    tab_to("#text")
    page.keyboard.type("Where is my order?")
    page.keyboard.press("Enter")
    page.locator('[data-role="desk"] .trace').last.wait_for()
    tab_to(".trace summary", "Shift+Tab")
    page.keyboard.press("Enter")
    assert page.locator(".trace[open]").count() == 1
    tab_to("#rate")
    page.keyboard.press("Enter")
    tab_to("#vote button[type=submit]", "Tab")
    page.keyboard.press("Enter")
    assert page.locator("#vote-fault").inner_text(), "without stars it says what is missing"
    tab_to("#stars input")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    chosen = page.evaluate("document.querySelector('#stars input:checked').value")
    tab_to("#vote button[type=submit]")
    page.keyboard.press("Enter")
    until(lambda: chosen in page.locator("#thanks").inner_text())
    tab_to("#delete", "Shift+Tab")
    page.keyboard.press("Enter")
    assert page.locator("#ask-delete").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("#ask-delete").is_visible()
    assert page.evaluate("document.activeElement.id") == "delete", "the focus goes back to where it was"
    assert texts(page) == ["Where is my order?"]


def test_new_and_delete_ask_first(people):
    page = people(locale="en-US")
    say(page, "first conversation")
    sent(page, 1)
    page.get_by_role("button", name="New chat").click()
    page.get_by_role("button", name="Start new").click()
    page.locator("#empty").wait_for()
    page.locator("#earlier-rows button", has_text="first conversation").wait_for()
    say(page, "second conversation")
    sent(page, 1)
    assert texts(page) == ["second conversation"]
    for answer in ("Cancel", "Delete for good"):
        page.locator("#delete").click()
        page.locator("#ask-delete").get_by_role("button", name=answer).click()
        page.locator("#ask-delete").wait_for(state="hidden")
        if answer == "Cancel":
            assert texts(page) == stored(page) == ["second conversation"]
    page.locator("#empty").wait_for()
    assert texts(page) == []
    page.reload()
    page.locator("#earlier-rows button", has_text="first conversation").click()
    sent(page, 1)
    assert texts(page) == ["first conversation"]
    assert page.evaluate("async () => (await (await fetch('/api/conversations')).json()).conversations.length") == 1


# ---- the agent

def test_a_handover_there_and_back_and_a_vote(people):
    page, other = people(), agent(people)
    ask_for_a_person(page, "我想退货")
    row = other.locator("#waiting button", has_text="我想退货")
    row.wait_for()
    assert row.locator(".mark.new").is_visible() and re.match(r"\(\d+\)", other.title())
    assert "客户要求人工" in row.inner_text(), "why, in the agent's language"
    row.press("Enter")                             # by keyboard
    mine(other).locator("h2:focus").wait_for()
    other.keyboard.press("Tab")
    other.keyboard.press("Enter")
    mine(other).locator("textarea:focus").wait_for()
    page.locator('#state[data-state="person"]', has_text="小林").wait_for()
    reply(other, "您好，我来处理")
    page.locator('[data-role="agent"]', has_text="您好，我来处理").wait_for()
    say(page, "谢谢")
    mine(other).locator('[data-role="customer"]', has_text="谢谢").wait_for()
    mine(other).get_by_role("button", name="交回自动应答").click()
    page.locator('#state[data-state="bot"]').wait_for()
    page.locator("#vote").wait_for()               # now it asks how it was
    page.locator("#stars label").nth(4).click()
    page.locator("#comment").fill("小林很耐心，我的电话 13812345678")
    page.locator("#vote button[type=submit]").click()
    page.locator("#thanks", has_text="5").wait_for()
    mine(other).locator(".voted", has_text="5 星").wait_for()
    assert "“小林很耐心，我的电话 [手机号]”" in mine(other).locator(".voted").inner_text()
    page.locator("#rate").click()                  # what was given can be changed
    assert page.locator("#comment").input_value() == "小林很耐心，我的电话 [手机号]"
    other.locator("#tab-stored").click()
    other.locator("#stored button", has_text="我想退货").locator(".mark", has_text="5 星").wait_for()


def test_a_reply_goes_where_it_was_typed(people, desk):
    one, two, other = Customer(desk, "甲的问题"), Customer(desk, "乙的问题"), agent(people)
    take(other, "甲的问题")
    mine(other).locator("textarea").fill("给甲的草稿")
    take(other, "乙的问题")
    assert mine(other).locator("textarea").input_value() == ""
    held = []
    other.route("**/messages", lambda route: held.append(route))
    reply(other, "给乙的回复")
    other.locator("#mine button", has_text="甲的问题").click()         # while the reply is on its way
    assert mine(other).locator("textarea").input_value() == "给甲的草稿"
    until(lambda: other.evaluate("true") and held)
    held[0].continue_()
    other.unroute("**/messages")
    until(lambda: two.heard() == ["给乙的回复"])
    other.locator("#mine button", has_text="乙的问题").locator(".mark", has_text="未送达").wait_for(state="detached")
    assert mine(other).locator('[data-role="agent"]').count() == 0 and one.heard() == []
    other.reload()
    row = other.locator("#mine button", has_text="甲的问题")
    row.locator(".mark", has_text="草稿").wait_for()
    row.click()
    assert mine(other).locator("textarea").input_value() == "给甲的草稿"
    mine(other).locator("textarea").press("Enter")
    mine(other).locator('[data-role="agent"]:not(.unsent)', has_text="给甲的草稿").wait_for()
    two.say("乙又说")
    other.locator("#mine button", has_text="乙的问题").locator(".mark.new").wait_for()
    assert two.heard() == ["给乙的回复"] and one.heard() == ["给甲的草稿"]


def test_the_agent_searches_reaches_the_oldest_and_deletes_after_a_question(people, desk):
    from engagement_book.service.desk.store import Store

    store = Store(desk.store)
    oldest = store.create("nobody", "zh", "您好")["id"]
    store.send(oldest, "customer", "最早的一位", "message-0", "zh")
    store.send(oldest, "customer", "还想问一句伞的事", "message-1", "zh")
    for _ in range(105):
        store.create("nobody", "zh", "您好")
    store.close()
    page, other = people(), agent(people, locale="en-US", width=PHONE)
    say(page, "独一无二的水杯")
    sent(page, 1)
    other.locator("#tab-stored").click()
    other.locator("#stored button").nth(99).wait_for()
    assert other.locator("#stored button", has_text="最早的一位").count() == 0
    other.locator("#more").click()
    other.locator("#stored button", has_text="最早的一位").wait_for()
    for words, found in (("伞的事", ["最早的一位"]),                        # not in its first words
                         (f"独一无二 {texts(page, 'desk')[0][:8]}", ["独一无二的水杯"]),      # the desk's words too
                         ("独_无二", []),                                   # a sign is a sign
                         ("独一无二", ["独一无二的水杯"])):
        other.locator("#find").fill(words)
        names = other.locator("#stored .name")
        until(lambda names=names, found=found: names.all_inner_texts() == found, words)
    for kind in ("csv", "json"):
        link = other.locator(f'.exports a[href$="{kind}"]')
        with other.expect_download() as file:
            link.click()
        assert "独一无二的水杯" in Path(file.value.path()).read_text(encoding="utf-8-sig")
    other.locator("#stored button").click()
    assert not other.locator("#side").is_visible() and mine(other).is_visible(), "a telephone shows one of the two"
    for answer in ("Cancel", "Delete for good"):
        mine(other).get_by_role("button", name="Delete").click()
        other.locator("#ask-delete").get_by_role("button", name=answer).click()
        other.locator("#ask-delete").wait_for(state="hidden")
        if answer == "Cancel":
            assert mine(other).is_visible() and stored(page) == ["独一无二的水杯"]
    mine(other).wait_for(state="detached")
    page.locator("#empty").wait_for()
    assert texts(page) == []


def test_without_the_token_nothing_is_shown(people):
    page = people(path="/agent", locale="en-US")
    page.locator("#login").wait_for()
    page.locator("#name").fill("Eve")
    page.locator("#token").fill("wrong")
    page.locator("#login button").click()
    page.locator("#in-fault", has_text="wrong").wait_for()
    assert not page.locator("#side").is_visible()
    page.locator("#token").fill(TOKEN)
    page.locator("#login button").click()
    page.locator("#side").wait_for()
    page.get_by_role("button", name="Sign out").click()
    page.locator("#login").wait_for()
    page.reload()
    page.locator("#token").wait_for()


# ---- what it looks like

SMALL = """() => [...document.querySelectorAll('button, a[href], input, select, textarea, summary')]
  .filter(e => e.checkVisibility({visibilityProperty: true}) && !e.matches('.skip'))
  .map(e => [e, e.getBoundingClientRect()]).filter(([, r]) => r.width && (r.width < 43.5 || r.height < 43.5))
  .map(([e, r]) => `${e.outerHTML.slice(0, 80)} ${r.width} × ${r.height}`)"""


def look(page, name):
    """What axe finds, wide in Chinese and narrow in English, light and dark (there the colours alone: the rest is the
    same page); what is too small for a finger; what is wider than the screen."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    found = []
    for width, language in ((PHONE, "en"), (DESK, "zh")):
        page.set_viewport_size({"width": width, "height": 800})
        page.evaluate("l => document.querySelector(`.languages [value=${l}]`).click()", language)
        for scheme, rules in (("dark", {"runOnly": ["color-contrast"]}), ("light", {})):
            page.emulate_media(color_scheme=scheme)
            axe = page.evaluate("more => axe.run({resultTypes: ['violations'], ...more})", rules)["violations"]
            found += [(name, width, scheme, rule["id"], node["html"][:120],
                       (node["any"] + node["all"] + node["none"])[0]["message"][:160])
                      for rule in axe for node in rule["nodes"]]
        found += [(name, width, "too small", what) for what in page.evaluate(SMALL)]
    for width, height in ((320, 256), (PHONE, 800), (DESK, 800)):        # the first: 1280 × 1024, magnified four times
        page.set_viewport_size({"width": width, "height": height})
        wide = page.evaluate("document.scrollingElement.scrollWidth - innerWidth")
        found += [(name, width, "too wide by", wide)] * (wide > 0)
    return found


def test_axe_finds_nothing_on_the_chat_page(people):
    page = people()
    page.locator("#examples button").first.wait_for()
    found = look(page, "empty")
    say(page, "مرحبا")
    say(page, "蓝牙耳机怎么退货？ " + "Averylongwordthatneverends" * 8)
    page.locator(".trace summary").nth(1).click()
    page.locator("#rate").click()
    found += look(page, "chat")
    page.locator("#human").click()
    for dialog in ("delete", "new"):
        page.locator(f"#{dialog}").click()
        found += look(page, dialog)
        page.keyboard.press("Escape")
    page.context.set_offline(True)
    say(page, "offline")
    page.locator(".unsent .link").first.wait_for()
    found += look(page, "offline")
    assert not found, found


def test_axe_finds_nothing_on_the_agents_page(people, desk):
    Customer(desk, "怎么换一副蓝牙耳机？ " + "Averylongwordthatneverends" * 8)
    page = people(path="/agent")
    page.locator("#token").wait_for()
    found = look(page, "login")
    page.locator("#name").fill("Bartholomew Fitzgerald-Montgomery")
    page.locator("#token").fill(TOKEN)
    page.keyboard.press("Enter")
    page.locator("#waiting button").first.wait_for()
    found += look(page, "queue")
    take(page, "怎么换一副")
    found += look(page, "thread")
    page.locator("#tab-stored").click()
    page.locator("#find").fill("怎么换一副")        # not the hundred of another test
    until(lambda: page.locator("#stored button").count() == 1)
    page.locator("#old").click()
    found += look(page, "old")
    page.keyboard.press("Escape")
    mine(page).get_by_role("button", name="删除").click()
    found += look(page, "delete")
    page.keyboard.press("Escape")
    mine(page).get_by_role("button", name="结束").click()
    found += look(page, "close")
    page.locator("#ask-close").get_by_role("button").last.click()
    page.locator('.thread:not([hidden]) .state[data-state="closed"]').wait_for()
    mine(page).locator(".back").evaluate("e => e.click()")             # a telephone shows the list then
    found += look(page, "stored")
    assert not found, found
