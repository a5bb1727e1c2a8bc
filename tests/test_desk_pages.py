"""The two pages of the service desk as people meet them: in Chromium, against a desk that each run starts by itself.
No book is built."""
import re
import time
from pathlib import Path

import pytest
from axe_playwright_python.base import AXE_SCRIPT

from engagement_book.workbench.house import ROOT

PAGES = ROOT / "nbs" / "_desk"
DESK, PHONE = 1280, 390
EVIL = '<img src=x onerror="document.title=\'hit\'"><script>document.title="hit"</script>'
TOKEN = "token-of-the-tests-0123456789abcdef"


class Server:
    "A desk on one port and one store that can be stopped and started again."

    def __init__(self, folder: Path):
        self.store, self.port = folder / "desk.db", 0
        self.start()

    def start(self) -> None:
        from engagement_book.service.desk.start import start

        self.running = start(self.store, self.port, token=TOKEN, pages=str(PAGES))
        self.url = self.running.chat.rstrip("/")
        self.port = int(self.url.rsplit(":", 1)[1])

    def stop(self, kill: bool = False) -> None:
        if kill:
            self.running.process.kill()
            self.running.process.wait(10)
        self.running.stop()


@pytest.fixture(scope="module")
def desk(tmp_path_factory, browser):
    server = Server(tmp_path_factory.mktemp("desk"))
    yield server
    server.stop()


@pytest.fixture
def people(browser, desk):
    "open(width, scheme, …) is a browser with its own cookies. Afterwards: no error, no request to another host."
    contexts, asked, errors = [], set(), []

    def open_(width=DESK, scheme="light", locale="zh-CN", path="/", **kw):
        size = {"width": width, "height": 800}
        context = browser.new_context(viewport=size, color_scheme=scheme, locale=locale, **kw)
        contexts.append(context)
        context.set_default_timeout(8000)
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


def texts(page, role="customer", within=""):
    return page.locator(f'{within} [data-role="{role}"]:not(.unsent) .bubble').all_inner_texts()


def until(true, what="", seconds=10):
    for _ in range(int(seconds * 20)):
        if true():
            return
        time.sleep(.05)
    raise AssertionError(what or "it did not become true")


def sent(page, n):
    "Waits until n messages of the customer have come back from the desk."
    page.locator('[data-role="customer"]:not(.unsent)').nth(n - 1).wait_for()


def wait(page, ms):
    page.wait_for_timeout(ms)


def mine(page):
    "The thread that the agent sees."
    return page.locator(".thread:not([hidden])")


def ask_for_a_person(page, text):
    say(page, text)
    sent(page, 1)
    page.locator("#human").click()
    page.locator('#state[data-state="waiting"]').wait_for()


def take(page, text):
    page.locator("#waiting button", has_text=text).click()
    mine(page).get_by_role("button", name=re.compile("接入|Take")).click()
    mine(page).locator("textarea").wait_for()
    wait(page, 450)                                # the page does not take the second of two quick clicks


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


# ---- the customer

def test_from_an_example_to_an_answer_with_its_trace(people):
    page = people()
    assert page.locator("html").get_attribute("lang") == "zh-CN"
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
    page.get_by_role("button", name="English").click()
    assert page.locator("html").get_attribute("lang") == "en" and trace.get_by_text("Intent", exact=True).is_visible()
    assert page.locator('[data-role="customer"] .bubble').get_attribute("lang") == "zh-CN", "said in Chinese"
    page.reload()
    page.get_by_role("button", name="A person", exact=True).wait_for()
    assert page.locator('[aria-pressed="true"]').inner_text() == "English", "the switch is remembered"


def test_a_script_stays_text_for_the_customer_and_for_the_agent(people):
    page = people()
    ask_for_a_person(page, EVIL)
    other = agent(people, name='<b id="x">Lin</b>')
    take(other, "<img")
    mine(other).locator("textarea").fill(EVIL)
    other.keyboard.press("Enter")
    page.locator('[data-role="agent"]').wait_for()
    for seen in (page, other):
        assert texts(seen) == [EVIL] and texts(seen, "agent") == [EVIL]
        assert seen.locator(".log img, .log script, .log b, .rows img, #x, #state b").count() == 0
        assert seen.title() != "hit"
    assert "<b id=" in page.locator("#state").inner_text()
    other.locator("#tab-stored").click()
    other.locator("#stored button", has_text="<img").first.wait_for()
    assert other.locator("#stored img").count() == 0 and other.title() != "hit"


def test_a_reload_keeps_the_conversation_and_what_is_half_typed(people):
    page = people()
    say(page, "怎么退货？")
    page.locator('[data-role="desk"] .trace').last.wait_for()
    page.locator("#text").fill("还有一件事")
    wait(page, 100)
    before = page.locator("#turns .bubble").all_inner_texts()
    page.reload()
    until(lambda: page.locator("#turns .bubble").all_inner_texts() == before)
    assert page.locator("#text").input_value() == "还有一件事"
    page.context.new_page().goto(page.url)
    second = page.context.pages[-1]
    until(lambda: second.locator("#turns .bubble").all_inner_texts() == before, "a second tab finds it too")


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
        fresh.wait_for_timeout(200)
    finally:
        desk.start()
    sent(page, 3)
    sent(fresh, 2)
    wait(page, 500)
    assert texts(page) == ["第一句", "第二句", "第三句"]
    assert texts(fresh) == ["before there is a conversation", "and a second one"]
    page.reload()
    sent(page, 3)
    wait(page, 300)
    assert texts(page) == ["第一句", "第二句", "第三句"] and page.locator(".unsent").count() == 0


def test_an_answer_that_is_lost_is_not_sent_twice(people):
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
    until(lambda: page.locator(".unsent").count() == 0)
    wait(page, 500)
    assert lost and texts(page) == ["一", "二", "三"]


def test_a_refused_message_offers_another_try(people):
    page = people()
    page.route("**/messages", lambda r: r.fulfill(status=422, json={"detail": "<i>no</i>", "code": "no"}))
    say(page, "会被拒绝")
    failed = page.locator(".failed")
    failed.wait_for()
    assert "<i>no</i>" in failed.inner_text()
    page.unroute("**/messages")
    say(page, "下一句照样发出")
    sent(page, 1)
    failed.get_by_role("button", name="重试").click()
    sent(page, 2)
    assert texts(page) == ["下一句照样发出", "会被拒绝"] and page.locator(".failed").count() == 0


def test_a_long_or_empty_message_is_not_sent(people):
    page = people()
    say(page, "   \n ")
    say(page, "长" * 501)
    assert "1" in page.locator("#left").inner_text() and page.locator("#text").get_attribute("aria-invalid") == "true"
    say(page, "👍" * 400)                          # 800 halves of UTF-16, 400 characters
    sent(page, 1)
    assert texts(page) == ["👍" * 400]


def test_an_input_method_may_use_enter(people):
    page = people()
    page.locator("#text").fill("ni hao")
    for more in ("isComposing: true", "keyCode: 229"):
        page.evaluate("document.getElementById('text').dispatchEvent(new KeyboardEvent('keydown', "
                      f"{{key: 'Enter', bubbles: true, cancelable: true, {more}}}))")
    wait(page, 200)
    assert page.locator("#text").input_value() == "ni hao" and page.locator("#turns li").count() == 0
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("x")
    assert page.locator("#text").input_value() == "ni hao\nx"
    page.keyboard.press("Enter")
    sent(page, 1)


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
    page.get_by_role("button", name="New", exact=True).click()
    page.get_by_role("button", name="Start new").click()
    page.locator("#empty").wait_for()
    page.locator("#earlier-rows button", has_text="first conversation").wait_for()
    say(page, "second conversation")
    sent(page, 1)
    assert texts(page) == ["second conversation"]
    for answer in ("Cancel", "Delete for good"):
        page.locator("#delete").click()
        page.locator("#ask-delete").get_by_role("button", name=answer).click()
        wait(page, 200)
        assert texts(page) == (["second conversation"] if answer == "Cancel" else [])
    page.locator("#empty").wait_for()
    page.reload()
    page.locator("#earlier-rows button", has_text="first conversation").click()
    sent(page, 1)
    assert texts(page) == ["first conversation"]
    assert page.evaluate("async () => (await (await fetch('/api/conversations')).json()).conversations.length") == 1


# ---- the agent

def test_a_handover_there_and_back(people):
    page, other = people(), agent(people)
    ask_for_a_person(page, "我想退货")
    row = other.locator("#waiting button", has_text="我想退货")
    row.wait_for()
    assert row.locator(".mark.new").is_visible() and re.match(r"\(\d+\)", other.title())
    take(other, "我想退货")
    page.locator('#state[data-state="person"]', has_text="小林").wait_for()
    mine(other).locator("textarea").fill("您好，我来处理")
    other.keyboard.press("Enter")
    page.locator('[data-role="agent"]', has_text="您好，我来处理").wait_for()
    say(page, "谢谢")
    mine(other).locator('[data-role="customer"]', has_text="谢谢").wait_for()
    mine(other).get_by_role("button", name="交回自动应答").click()
    page.locator('#state[data-state="bot"]').wait_for()
    assert page.locator("#vote").is_visible(), "now it asks how it was"
    page.locator("#stars label").nth(4).click()
    page.locator("#comment").fill("小林很耐心，我的电话 13812345678")
    page.locator("#vote button[type=submit]").click()
    page.locator("#thanks", has_text="5").wait_for()
    mine(other).locator(".rating", has_text="“小林很耐心，我的电话 [手机号]”").wait_for()
    other.locator("#tab-stored").click()
    other.locator("#stored button", has_text="我想退货").locator(".mark", has_text="5 星").wait_for()


def test_a_reply_goes_where_it_was_typed(people):
    one, two, other = people(), people(), agent(people)
    ask_for_a_person(one, "甲的问题")
    ask_for_a_person(two, "乙的问题")
    take(other, "甲的问题")
    mine(other).locator("textarea").fill("给甲的草稿")
    take(other, "乙的问题")
    assert mine(other).locator("textarea").input_value() == ""
    other.route("**/messages", lambda r: (time.sleep(.6), r.continue_()))
    mine(other).locator("textarea").fill("给乙的回复")
    other.keyboard.press("Enter")
    other.locator("#mine button", has_text="甲的问题").click()         # while the reply is on its way
    assert mine(other).locator("textarea").input_value() == "给甲的草稿"
    two.locator('[data-role="agent"]', has_text="给乙的回复").wait_for()
    assert mine(other).locator('[data-role="agent"]').count() == 0 and one.locator('[data-role="agent"]').count() == 0
    other.reload()
    row = other.locator("#mine button", has_text="甲的问题")
    row.locator(".mark", has_text="草稿").wait_for()
    row.click()
    assert mine(other).locator("textarea").input_value() == "给甲的草稿"
    mine(other).locator("textarea").press("Enter")
    one.locator('[data-role="agent"]', has_text="给甲的草稿").wait_for()
    say(two, "乙又说")
    other.locator("#mine button", has_text="乙的问题").locator(".mark.new").wait_for()
    assert texts(two, "agent") == ["给乙的回复"] and texts(one, "agent") == ["给甲的草稿"]


def test_the_agent_searches_and_deletes_after_a_question(people):
    page, other = people(), agent(people, locale="en-US", width=PHONE)
    say(page, "独一无二的水杯")
    sent(page, 1)
    other.locator("#tab-stored").click()
    other.locator("#stored button").first.wait_for()
    other.locator("#find").fill("独一无二")
    until(lambda: other.locator("#stored button").count() == 1)
    said = texts(page, "desk")[0][:8]
    other.locator("#find").fill(f"独一无二 {said}")
    wait(other, 600)
    assert other.locator("#stored button").count() == 1, "what the desk said is looked through too"
    other.locator("#find").fill("独_无二")
    until(lambda: other.locator("#stored button").count() == 0, "a sign is a sign")
    other.locator("#find").fill("独一无二")
    until(lambda: other.locator("#stored button").count() == 1)
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
        wait(other, 100)
        assert mine(other).is_visible() == (answer == "Cancel")
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

def axe(page, name, scheme="light"):
    "What axe finds; in the dark the colours alone, since the rest is the same page."
    page.wait_for_timeout(150)
    page.evaluate(AXE_SCRIPT)
    rules = {"runOnly": ["color-contrast"]} if scheme == "dark" else {}
    found = page.evaluate("more => axe.run({resultTypes: ['violations'], ...more})", rules)["violations"]
    wide = page.evaluate("document.scrollingElement.scrollWidth - innerWidth")
    return [(name, "wide", wide)] * (wide > 0) + [
        (name, rule["id"], node["html"][:120], (node["any"] + node["all"] + node["none"])[0]["message"][:160])
        for rule in found for node in rule["nodes"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [DESK, PHONE])
def test_axe_finds_nothing(people, width, scheme):
    page = people(width, scheme, "zh-CN" if width == DESK else "en-US")
    page.locator("#examples button").first.wait_for()
    found = axe(page, "empty", scheme)
    say(page, "蓝牙耳机怎么退货？ " + "Averylongwordthatneverends" * 8)
    page.locator(".trace summary").last.click()
    page.locator("#rate").click()
    found += axe(page, "chat", scheme)
    page.locator("#human").click()
    page.locator("#delete").click()
    found += axe(page, "dialog", scheme)
    page.keyboard.press("Escape")
    page.context.set_offline(True)
    say(page, "offline")
    page.locator(".unsent .link").first.wait_for()
    found += axe(page, "offline", scheme)
    page.context.set_offline(False)
    other = people(width, scheme, "zh-CN" if width == DESK else "en-US", path="/agent")
    other.locator("#token").wait_for()
    found += axe(other, "login", scheme)
    other.context.close()
    other = agent(people, width=width, scheme=scheme, locale="zh-CN" if width == DESK else "en-US")
    other.locator("#waiting button").first.wait_for()
    found += axe(other, "queue", scheme)
    take(other, "蓝牙耳机")
    found += axe(other, "thread", scheme)
    if width == PHONE:
        mine(other).locator(".back").click()
    other.locator("#tab-stored").click()
    other.locator("#stored button").first.wait_for()
    found += axe(other, "stored", scheme)
    mine_ = other.locator("#mine button", has_text="蓝牙耳机")
    other.locator("#tab-queue").click()
    mine_.first.click()
    mine(other).get_by_role("button", name=re.compile("结束|Close")).click()
    other.locator("#ask-close").get_by_role("button").last.click()
    other.locator('.thread:not([hidden]) .state[data-state="closed"]').wait_for()
    assert not found, found


def test_paper_shows_what_was_said_and_stillness_is_respected(people):
    page = people(scheme="dark", reduced_motion="reduce")
    for i in range(12):
        say(page, f"第 {i} 句话")
    sent(page, 12)
    page.locator('[data-role="desk"] .trace').first.wait_for()
    moving = page.evaluate("document.getAnimations().length")
    page.emulate_media(media="print")
    assert moving == 0 and not page.locator(".foot").is_visible() and not page.locator(".tools").is_visible()
    assert page.locator("#log").evaluate("e => e.scrollHeight <= e.clientHeight + 1"), "no box that scrolls"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
