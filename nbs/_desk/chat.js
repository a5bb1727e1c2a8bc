// The customer's page. One conversation at a time; what is typed before it exists or without a network waits in `box`.
"use strict";

const WORDS = {
  "title": ["客服台", "Service desk"],
  "skip": ["跳到输入框", "Skip to the input"],
  "language": ["语言", "Language"],
  "new": ["新对话", "New chat"],
  "save": ["保存副本", "Save a copy"],
  "paper": ["对话 {id}，开始于 {at}", "Conversation {id}, begun {at}"],
  "delete": ["删除…", "Delete…"],
  "log": ["对话", "Conversation"],
  "down": ["新消息", "New messages"],
  "choices": ["建议的回答", "Suggested answers"],
  "empty.title": ["您好，有什么可以帮您？", "Hello. How can we help?"],
  "empty.text": ["可以问订单、退货和商品。自动应答先回答；答不了，或您愿意，就转给人工。手机号、邮箱、证件号和卡号在保存前会被遮去。",
    "Ask about orders, returns and products. The desk answers at once; when it cannot, or when you wish, a person takes over. Phone numbers, e-mail addresses, ID and card numbers are masked before anything is stored."],
  "empty.examples": ["可以这样问", "Questions to try"],
  "empty.earlier": ["您以前的对话", "Your earlier conversations"],
  "input.label": ["您的问题", "Your message"],
  "input.placeholder": ["请输入您的问题", "Type your question"],
  "human": ["转人工", "Talk to a person"],
  "human.asked": ["已请人工", "Person requested"],
  "human.here": ["人工服务中", "A person is here"],
  "send": ["发送", "Send"],
  "keys": ["回车发送，Shift+回车换行", "Enter sends, Shift+Enter makes a new line"],
  "left": ["还可输入 {n} 字", "Characters left: {n}"],
  "over": ["超出 {n} 字，请分开发送", "{n} too many: send it in parts"],
  "cancel": ["取消", "Cancel"],
  "who.customer": ["您", "You"],
  "who.desk": ["自动应答", "Automatic desk"],
  "who.agent": ["客服", "Agent"],
  "who.note": ["提示", "Notice"],
  "state.none": ["自动应答", "Automatic answers"],
  "state.open": ["自动应答", "Automatic answers"],
  "state.waiting": ["等待人工", "Waiting for a person"],
  "state.place": ["排队第 {n} 位", "Place {n} in the queue"],
  "state.agent": ["{name} 正在为您服务", "{name} is with you"],
  "state.closed": ["对话已结束", "Conversation over"],
  "state.offline": ["没有连接", "No connection"],
  "fate.sending": ["发送中…", "Sending …"],
  "fate.network": ["等待连接，尚未发送", "Waits for a connection"],
  "fate.server": ["暂未送达，稍后自动再试", "Not delivered yet, will be tried again"],
  "fate.limit": ["稍等片刻再发", "Waits a moment"],
  "fate.failed": ["没有发出。", "Not sent."],
  "fate.retry": ["重试", "Retry"],
  "fate.drop": ["撤回", "Discard"],
  "banner.offline": ["没有连接。您写的消息会保留，连上后按顺序各发送一次。", "No connection. What you write is kept, and sent once and in order when it is back."],
  "banner.server": ["客服台暂时没有回应，消息会保留，稍后自动再试。", "The desk does not answer at the moment. Your messages are kept and will be tried again."],
  "banner.limit": ["发得太快了，稍后会自动继续发送。", "Too many messages at once. The next one goes in a moment, by itself."],
  "banner.closed": ["这段对话已结束。再发消息会开始新的对话。", "This conversation is over. Your next message begins a new one."],
  "banner.gone": ["这段对话已被删除。", "This conversation was deleted."],
  "banner.fault": ["没有成功：{why}", "That did not work: {why}"],
  "try": ["现在重试", "Try now"],
  "close": ["知道了", "Close"],
  "rate": ["评价服务", "Rate the service"],
  "rated": ["已评 {n} 星，可修改", "Rated {n} of 5, change"],
  "vote.title": ["这次服务您满意吗？", "How satisfied are you?"],
  "vote.star": ["{n} 星，共 5 星", "{n} of 5 stars"],
  "vote.recommend": ["会推荐给朋友吗？", "Would you recommend us?"],
  "vote.none": ["不填", "No answer"],
  "vote.comment": ["想补充的话（可不填）", "A word of your own (optional)"],
  "vote.send": ["提交评价", "Send rating"],
  "vote.later": ["以后再说", "Not now"],
  "vote.choose": ["请先选择 1–5 星。", "Please choose 1 to 5 stars."],
  "vote.thanks": ["谢谢您的评价：{n} 星。", "Thank you: {n} of 5 stars."],
  "ask.new.title": ["开始新的对话？", "Start a new conversation?"],
  "ask.new.text": ["现在的对话会结束，但仍保存着；以后可以在首页打开或删除。尚未发出的消息会丢弃。",
    "The present one ends but stays stored; you can open or delete it later. Messages not sent yet are discarded."],
  "ask.new.yes": ["开始新对话", "Start new"],
  "ask.delete.title": ["删除这段对话？", "Delete this conversation?"],
  "ask.delete.text": ["所有消息和评价会从服务器上永久删除，无法恢复。", "All messages and your rating are removed from the server for good."],
  "ask.delete.copy": ["先保存一份（JSON）", "Save a copy first (JSON)"],
  "ask.delete.yes": ["永久删除", "Delete for good"],
  "code.too_many": ["太快了，请稍等片刻再试。", "Too many at once. Please try again in a moment."],
  "code.slow": ["网络太慢，没有收全。", "The network was too slow for it."],
  "code.unknown": ["找不到这段对话，可能已被删除。", "This conversation is not there any more."],
  "code.closed": ["这段对话已结束。", "This conversation is over."],
  "deleted": ["对话已删除。", "The conversation was deleted."],
  "trace.title": ["回答的依据", "How this answer came about"],
  "trace.intent": ["意图", "Intent"],
  "trace.probability": ["概率", "Probability"],
  "trace.slots": ["槽位", "Slots"],
  "trace.rule": ["规则", "Rule"],
  "trace.source": ["来源", "Source"],
  "trace.language": ["语言", "Language"],
  "trace.seconds": ["用时（秒）", "Seconds"],
  "trace.none": ["无", "none"],
};
// until the server names its own, and when it cannot be reached
const EXAMPLES = { zh: ["我的订单到哪里了？", "怎么退货？", "转人工"], en: ["Where is my order?", "How do I return something?", "I want to talk to a person"] };
const MOST = 500;
const NAMES = { customer: "who.customer", desk: "who.desk", agent: "who.agent" };

const { el, t, label, session, ask, Refused, Outbox, Stream, Log, langOf, clock, time, count, reason } = Desk;
const $ = (id) => document.getElementById(id);

let conv = null;             // the conversation as the server last said it
let stream = null;
let up = true;               // does the stream stand?
let era = 0;                 // grows when the page turns to another conversation: late answers know they are late
let examples = EXAMPLES;
let notice = null;           // {key, values} of something that went wrong or was done
let voteOpen = false;
let begun = null;
const ready = new Promise((done) => { begun = done; });
let wake = () => {};         // ends a pause at the beginning
let newest = null;           // the newest turn: only its choices are offered

const log = new Log($("turns"), { mine: "customer", names: NAMES, retry: (id) => again(id), drop: (id) => box.drop(id),
  seen: (stuck) => { $("down").hidden = stuck || log.atEnd(); } });
const box = new Outbox("desk.box", post, () => draw());

// ---- one conversation

const path = (rest = "") => `/api/conversations/${conv.id}${rest}`;

// the one conversation of this page, made when it is first needed
let making = null;
async function ensure() {
  await ready;
  if (conv) return;
  const mine = era;
  making ??= ask("POST", "/api/conversations", { language: Desk.lang }).finally(() => { making = null; });
  const made = await making;
  if (mine === era && !conv) show(made);
}

// sent in order: the outbox calls this for one item at a time. Where a message was tried once, it stays: the server
// may have it already, and only there its id proves it
async function post(item) {
  await ready;
  if (!navigator.onLine) throw new Refused(0, "offline", "", 0);
  if (!item.conv) await ensure();
  if (!box.items.includes(item) || !(item.conv || conv)) return;
  item.conv ??= conv.id;
  box.save();
  const { turn } = await ask("POST", `/api/conversations/${item.conv}/messages`, { id: item.id, text: item.text });
  hear(turn);
}

function again(id) {
  const item = box.items.find((i) => i.id === id);
  if (item && ["closed", "unknown"].includes(item.code)) {
    if (conv?.status === "closed") leave();
    item.conv = null;
  }
  box.retry(id);
}

function show(next) {
  conv = next;
  session.set("desk.conversation", conv.id);
  const id = conv.id;
  stream?.close();
  $("log").setAttribute("aria-busy", "true");        // what was said before is not read out again
  stream = new Stream(path("/stream"), {
    turn: hear,
    status: (c) => {
      setTimeout(() => $("log").removeAttribute("aria-busy"), 300);
      if (!conv || conv.id !== c.id) return;
      const over = (conv.status === "agent" && c.status === "open") || (conv.status !== "closed" && c.status === "closed");
      if (over && !c.vote) voteOpen = true;
      conv = c;
      draw();
    },
    gone: () => { if (conv && conv.id === id) { box.clear(); leave(); say("banner.gone"); } },
    up: (is) => { up = is; draw(); if (is && box.problem === "network") box.now(); },
  });
  draw();
}

function hear(turn) {
  if (!conv || turn.conversation !== conv.id) return;
  if (!log.add(turn)) return;
  if (!newest || turn.id > newest.id) newest = turn;
  if (document.hidden && turn.role !== "customer") document.title = `● ${t("title")}`;
  draw();
}

// back to the empty page; what waits in the box will begin the next conversation
function leave() {
  era += 1;
  stream?.close();
  stream = null;
  conv = null;
  newest = null;
  up = true;
  voteOpen = false;
  session.set("desk.conversation", "new");
  log.clear();
  $("vote").reset();
  $("thanks").textContent = "";
  draw();
  earlier();
}

function send(text) {
  const clean = (text.toWellFormed ? text.toWellFormed() : text).trim();
  if (!clean || count(clean) > MOST) return false;
  if (conv?.status === "closed") leave();
  notice = null;
  box.add(clean);
  return true;
}

function say(key, values = {}) {
  notice = { key, values };
  draw();
}

async function act(what) {
  try {
    return await what();
  } catch (fault) {
    if (!(fault instanceof Refused)) throw fault;
    if (fault.status === 0) say("banner.offline");
    else say("banner.fault", { why: reason(fault) });
    return undefined;
  }
}

// ---- drawing: everything that depends on the state, from the state

function draw() {
  const offline = !navigator.onLine || !up || box.problem === "network";
  const status = conv?.status ?? "none";
  const customers = [...log.turns.values()].some((e) => e.dataset.role === "customer");
  const answered = customers && [...log.turns.values()].some((e) => ["desk", "agent"].includes(e.dataset.role));

  log.pending(box.items, box.problem ?? (offline ? "network" : null));

  const shown = offline ? "offline" : { waiting: "waiting", agent: "person", closed: "closed" }[status] ?? "bot";
  const words = offline ? t("state.offline")
    : status === "waiting" && conv.queue_position ? t("state.place", { n: conv.queue_position })
      : status === "agent" ? t("state.agent", { name: conv.agent ?? t("who.agent") }) : t(`state.${status}`);
  Desk.state($("state"), shown, words);
  $("paper").textContent = conv ? t("paper", { id: conv.id.slice(0, 8), at: Desk.whole(conv.created) }) : "";

  const fresh = !customers && !box.items.length && !["waiting", "agent", "closed"].includes(status);
  if ($("empty").hidden === fresh) $("empty").hidden = !fresh;
  for (const id of ["new", "delete", "save"]) $(id).hidden = !conv;
  if (conv) $("copy").href = $("save").href = path("/export?format=json");

  const typing = Boolean(conv?.pending) && !offline && status === "open";
  if ($("typing").hidden === typing) {
    const stick = log.atEnd();
    $("typing").hidden = !typing;
    log.settle(stick);
  }

  const choices = newest?.choices?.length && !box.items.length && ["open", "waiting"].includes(status) && !typing && !fresh ? newest.choices : [];
  const had = [...$("choices").children].map((e) => e.textContent);
  if (had.join("\n") !== choices.join("\n")) {
    const stick = log.atEnd();
    $("choices").replaceChildren(...choices.map((choice) => el("button.button", { type: "button", lang: langOf(choice),
      on: { click: () => { send(choice); $("text").focus(); } } }, choice)));
    $("choices").hidden = !choices.length;
    log.settle(stick);
  }

  const human = $("human");
  const asked = ["waiting", "agent"].includes(status);
  human.setAttribute("aria-disabled", String(asked));
  label(human, status === "waiting" ? "human.asked" : status === "agent" ? "human.here" : "human");

  drawBanner(offline, status);
  $("rate").hidden = !answered;
  $("rate").textContent = conv?.vote ? t("rated", { n: conv.vote.score }) : t("rate");
  $("rate").setAttribute("aria-expanded", String(voteOpen && answered));
  if ($("vote").hidden === (voteOpen && answered)) {
    const stick = log.atEnd();
    $("vote").hidden = !(voteOpen && answered);
    log.settle(stick);
  }
  drawLeft();
}

function drawBanner(offline, status) {
  const waits = box.items.some((i) => i.state !== "failed");
  let words = null;
  let button = null;
  let bad = false;
  if (box.problem === "limit") {
    words = t("banner.limit");
  } else if (offline) {
    [words, button] = [t("banner.offline"), "try"];
  } else if (box.problem === "server" && waits) {
    [words, button] = [t("banner.server"), "try"];
  } else if (notice) {
    [words, button, bad] = [t(notice.key, notice.values), "close", notice.key === "banner.fault"];
  } else if (status === "closed") words = t("banner.closed");
  const banner = $("banner");
  const stick = log.atEnd();
  if ($("banner-text").textContent !== (words ?? "")) $("banner-text").textContent = words ?? "";
  banner.classList.toggle("bad", bad);
  $("banner-button").hidden = !button;
  if (button) label($("banner-button"), button);
  $("banner-button").dataset.does = button ?? "";
  if (banner.hidden !== !words) { banner.hidden = !words; log.settle(stick); }
}

function drawLeft() {
  const n = MOST - count($("text").value.trim());
  $("left").classList.toggle("over", n < 0);
  const words = n < 0 ? t("over", { n: -n }) : n <= 100 ? t("left", { n }) : "";
  if ($("left").textContent !== words) $("left").textContent = words;
  $("text").setAttribute("aria-invalid", String(n < 0));
}

function drawExamples() {
  const list = examples[Desk.lang] ?? [];
  $("examples").replaceChildren(...list.map((words) => el("li", {}, el("button.button", { type: "button", lang: langOf(words),
    on: { click: () => { send(words); $("text").focus(); } } }, words))));
}

async function earlier() {
  const mine = era;
  let list = [];
  try {
    list = (await ask("GET", "/api/conversations")).conversations;
  } catch { /* none to show */ }
  if (mine !== era || conv) return;
  list = list.filter((c) => c.subject).slice(0, 5);
  $("earlier").hidden = !list.length;
  $("earlier-rows").replaceChildren(...list.map((c) => el("li", {}, el("button.item", { type: "button", on: { click: () => { log.clear(); era += 1; show(c); $("log").focus(); } } },
    el("span.name", { lang: langOf(c.subject), dir: "auto" }, c.subject), el("span.when", {}, time(c.updated))))));
}

// ---- what people do

const area = $("text");
const grow = Desk.field(area, submit, () => { session.set("desk.draft", area.value || null); drawLeft(); });

function submit() {
  if (send(area.value)) {
    area.value = "";
    session.set("desk.draft", null);
    grow();
    drawLeft();
  }
  area.focus();
}

$("form").addEventListener("submit", (event) => { event.preventDefault(); submit(); });
$("down").addEventListener("click", () => { $("log").scrollTop = $("log").scrollHeight; $("down").hidden = true; area.focus(); });
$("log").addEventListener("scroll", () => { if (log.atEnd()) $("down").hidden = true; }, { passive: true });

$("human").addEventListener("click", async () => {
  if ($("human").getAttribute("aria-disabled") === "true") return;
  $("human").setAttribute("aria-disabled", "true");
  notice = null;
  await act(async () => {
    if (conv?.status === "closed") leave();
    await ensure();
    if (!conv) return;
    const next = await ask("POST", path("/handover"), {});
    if (conv && conv.id === next.id) conv = next;
  });
  draw();
});

$("new").addEventListener("click", async () => {
  if (!await Desk.confirm($("ask-new"))) return;
  notice = null;
  const id = conv?.id;
  const done = await act(async () => {
    if (conv && conv.status !== "closed") {
      try {
        await ask("POST", path("/close"), {});
      } catch (fault) {
        if (![404, 409].includes(fault.status)) throw fault;
      }
    }
    return true;
  });
  if (!done || conv?.id !== id) return;
  box.clear();
  leave();
  area.focus();
});

$("delete").addEventListener("click", async () => {
  if (!await Desk.confirm($("ask-delete"))) return;
  notice = null;
  const id = conv?.id;
  const done = await act(async () => {
    try {
      await ask("DELETE", path());
    } catch (fault) {
      if (fault.status !== 404) throw fault;
    }
    return true;
  });
  if (!done || (conv && conv.id !== id)) return;
  box.clear();
  leave();
  say("deleted");
  area.focus();
});

$("banner-button").addEventListener("click", () => {
  if ($("banner-button").dataset.does === "try") { wake(); stream?.wake(); box.now(); notice = null; }
  else notice = null;
  draw();
  area.focus();
});

// ---- the vote

for (let n = 1; n <= 5; n += 1) {
  $("stars").append(el("label", {}, el("input", { type: "radio", name: "score", value: n }), el("span", { "aria-hidden": "true" }), el("span.sr", { "data-star": n })));
}
for (let n = 0; n <= 10; n += 1) $("recommend").append(el("option", { value: n }, `${n} / 10`));
const nameStars = () => { for (const e of document.querySelectorAll("[data-star]")) e.textContent = t("vote.star", { n: e.dataset.star }); };

$("rate").addEventListener("click", () => {
  voteOpen = !voteOpen;
  if (voteOpen && conv?.vote) {           // as it was given, to be changed
    $("stars").querySelector(`input[value="${conv.vote.score}"]`).checked = true;
    $("recommend").value = conv.vote.recommend ?? "";
    $("comment").value = conv.vote.comment ?? "";
  }
  draw();
  if (voteOpen) ($("stars").querySelector("input:checked") ?? $("stars").querySelector("input")).focus();
});
$("vote-close").addEventListener("click", () => { voteOpen = false; draw(); $("rate").focus(); });
$("vote").addEventListener("submit", async (event) => {
  event.preventDefault();
  const chosen = $("stars").querySelector("input:checked");
  $("vote-fault").textContent = chosen ? "" : t("vote.choose");
  if (!chosen) { $("stars").querySelector("input").focus(); return; }
  const recommend = $("recommend").value;
  const comment = $("comment").value.trim();
  const body = { score: Number(chosen.value), ...(recommend === "" ? {} : { recommend: Number(recommend) }), ...(comment ? { comment } : {}) };
  const id = conv.id;
  notice = null;
  await act(async () => {
    const next = await ask("POST", path("/vote"), body);
    if (conv?.id !== id) return;
    conv = next;
    voteOpen = false;
    $("thanks").textContent = t("vote.thanks", { n: conv.vote.score });
  });
  draw();
  $("rate").focus();
});

// ---- beginning

function words() {
  document.title = t("title");
  nameStars();
  drawExamples();
  draw();
}

addEventListener("online", () => { wake(); stream?.wake(); box.now(); draw(); });
addEventListener("offline", draw);
addEventListener("pageshow", (event) => { if (event.persisted) stream?.wake(); });
document.addEventListener("visibilitychange", () => { if (!document.hidden) document.title = t("title"); });

Desk.languages(WORDS, "desk.language", words);
words();
area.value = session.get("desk.draft", "");
grow();

// which conversation is this page's? Until that is known nothing is sent
async function begin() {
  const known = session.get("desk.conversation");
  let list = [];
  for (let pause = 1; ; pause = Math.min(2 * pause, 15)) {
    try {
      list = (await ask("GET", "/api/conversations")).conversations;
      break;
    } catch (fault) {
      if (!fault.passing) break;
      up = false;
      draw();
      await new Promise((wait) => { wake = wait; setTimeout(wait, 1000 * pause); });
    }
  }
  up = true;
  // this tab's own; else the newest that is not over, as somebody who comes back expects
  const found = list.find((c) => c.id === known) ?? (known === null ? list.find((c) => c.status !== "closed") : undefined);
  if (found) show(found);
  else earlier();
  begun();
  box.run();
  draw();
}
begin();

(async () => {
  try {
    const { questions } = await ask("GET", "/api/examples");
    if (questions?.zh?.length && questions?.en?.length) { examples = questions; drawExamples(); }
  } catch { /* the page's own will do */ }
})();
