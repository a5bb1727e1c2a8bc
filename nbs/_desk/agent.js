// The agent's page. Each conversation has its own Thread: its own elements, field, draft, outbox and id. What is typed
// there has no way into another one, whichever is shown when an answer comes back.
"use strict";

const WORDS = {
  "title": ["客服工作台", "Agent's desk"],
  "language": ["语言", "Language"],
  "paper": ["对话 {id}，开始于 {at}", "Conversation {id}, begun {at}"],
  "out": ["退出", "Sign out"],
  "me": ["我是 {name}", "Signed in as {name}"],
  "in.title": ["登录工作台", "Sign in to the desk"],
  "in.text": ["启动客服台时会打印本页的地址，里面带有口令。", "The desk prints this page's address when it starts; the token is in it."],
  "in.name": ["您的名字（客户会看到）", "Your name (customers see it)"],
  "in.token": ["口令", "Token"],
  "in.go": ["进入", "Enter"],
  "in.wrong": ["口令不对。", "That token is wrong."],
  "in.over": ["登录已失效，请再登录一次。", "You are signed out. Please sign in again."],
  "side": ["对话列表", "Conversations"],
  "tabs": ["列表", "Lists"],
  "tab.queue": ["排队与进行中", "Queue"],
  "tab.stored": ["全部对话", "All conversations"],
  "waiting": ["等待人工", "Waiting for a person"],
  "waiting.none": ["没有人在等。", "Nobody is waiting."],
  "waiting.count": ["{n} 位在等", "{n} waiting"],
  "mine": ["我的对话", "My conversations"],
  "mine.none": ["还没有接入的对话。", "You have taken none yet."],
  "others": ["同事的对话", "Colleagues' conversations"],
  "find": ["查找", "Search"],
  "find.hint": ["内容、原因、客服、编号", "Words, reason, agent, number"],
  "status": ["状态", "State"],
  "status.all": ["全部", "All"],
  "st.waiting": ["等待人工", "Waiting"],
  "st.agent": ["人工服务", "With a person"],
  "st.open": ["自动应答", "Automatic"],
  "st.closed": ["已结束", "Closed"],
  "found": ["{n} 段对话", "{n} found"],
  "found.more": ["{n} 段对话，还有更早的", "{n} found, there are older ones"],
  "found.none": ["没有找到。", "Nothing found."],
  "more": ["更早的", "Older"],
  "export.csv": ["导出 CSV", "Export CSV"],
  "export.json": ["导出 JSON", "Export JSON"],
  "old": ["清理旧对话…", "Remove old ones…"],
  "nothing.title": ["请选择一段对话", "Choose a conversation"],
  "nothing.text": ["打开等待中的对话，点“接入”即可回复。", "Open one that waits and take it to reply."],
  "back": ["← 列表", "← List"],
  "log": ["对话", "Conversation"],
  "down": ["新消息", "New messages"],
  "take": ["接入", "Take"],
  "to.queue": ["放回队列", "To queue"],
  "to.desk": ["交回自动应答", "To desk"],
  "end": ["结束…", "Close…"],
  "delete": ["删除…", "Delete…"],
  "reply": ["回复", "Reply"],
  "reply.hint": ["写给这位客户的回复", "Reply to this customer"],
  "send": ["发送", "Send"],
  "keys": ["回车发送，Shift+回车换行", "Enter sends, Shift+Enter makes a new line"],
  "left": ["还可输入 {n} 字", "Characters left: {n}"],
  "over": ["超出 {n} 字，请分开发送", "{n} too many: send it in parts"],
  "why.waiting": ["接入后才能回复。", "Take the conversation to reply."],
  "why.agent": ["{name} 正在服务这位客户。", "{name} has this conversation."],
  "why.open": ["自动应答正在服务，客户请人工时会进入队列。", "The desk answers. It comes to the queue when a person is asked for."],
  "why.closed": ["这段对话已结束。", "This conversation is over."],
  "why.draft": ["您写的草稿还在。", "Your draft is kept."],
  "state.up": ["已连接", "Connected"],
  "state.offline": ["没有连接", "No connection"],
  "s.open": ["自动应答", "Automatic answers"],
  "s.waiting": ["等待人工", "Waits for a person"],
  "s.place": ["排队第 {n} 位", "Place {n} in the queue"],
  "s.agent": ["{name} 服务中", "With {name}"],
  "s.mine": ["由我服务", "Mine"],
  "s.closed": ["已结束", "Closed"],
  "row.new": ["新", "new"],
  "row.unread": ["未读", "unread"],
  "row.draft": ["草稿", "draft"],
  "row.unsent": ["未送达", "not sent"],
  "row.vote": ["{n} 星", "{n} of 5 stars"],
  "row.waits": ["等了 {n} 分钟", "waiting {n} min"],
  "row.hours": ["等了 {n} 小时", "waiting {n} h"],
  "row.now": ["刚刚", "just now"],
  "row.nameless": ["（还没有消息）", "(no message yet)"],
  "voted.score": ["客户评价：{n} 星", "Rated {n} of 5 stars"],
  "voted.recommend": ["推荐 {n}/10", "would recommend {n}/10"],
  "for.asked": ["客户要求人工", "Asked for a person"],
  "for.unclear": ["两次没有听明白", "Not understood twice"],
  "for.complaint": ["投诉", "Complaint"],
  "for.crashed": ["自动应答出错", "The automatic desk failed"],
  "for.hung": ["自动应答超时", "The automatic desk took too long"],
  "for.busy": ["自动应答太忙", "The automatic desk was busy"],
  "code.too_many": ["太快了，请稍等片刻再试。", "Too many at once. Please try again in a moment."],
  "code.slow": ["网络太慢，没有收全。", "The network was too slow for it."],
  "code.unknown": ["找不到这段对话，可能已被删除。", "This conversation is not there any more."],
  "code.closed": ["这段对话已结束。", "This conversation is over."],
  "code.taken": ["同事已经接入了。", "A colleague has taken it."],
  "code.not_waiting": ["这位客户不在排队。", "This customer does not wait any more."],
  "code.not_yours": ["这段对话已不由您服务。", "This conversation is not yours any more."],
  "who.customer": ["客户", "Customer"],
  "who.desk": ["自动应答", "Automatic desk"],
  "who.agent": ["客服", "Agent"],
  "who.note": ["提示", "Notice"],
  "fate.sending": ["发送中…", "Sending …"],
  "fate.network": ["等待连接，尚未发送", "Waits for a connection"],
  "fate.server": ["暂未送达，稍后自动再试", "Not delivered yet, will be tried again"],
  "fate.limit": ["稍等片刻再发", "Waits a moment"],
  "fate.failed": ["没有发出。", "Not sent."],
  "fate.retry": ["重试", "Retry"],
  "fate.drop": ["撤回", "Discard"],
  "cancel": ["取消", "Cancel"],
  "ask.delete.title": ["删除这段对话？", "Delete this conversation?"],
  "ask.delete.text": ["所有消息和评价会永久删除，无法恢复。客户那边也会消失。", "All messages and the rating are removed for good, for the customer too."],
  "ask.delete.yes": ["永久删除", "Delete for good"],
  "ask.close.title": ["结束这段对话？", "Close this conversation?"],
  "ask.close.text": ["客户之后的消息会开始新的对话。", "What the customer writes next begins a new one."],
  "ask.close.yes": ["结束对话", "Close it"],
  "ask.old.title": ["清理旧对话？", "Remove old conversations?"],
  "ask.old.text": ["早于所填天数的对话会永久删除，无法恢复。", "Conversations older than this are removed for good."],
  "ask.old.days": ["超过多少天", "Older than how many days"],
  "ask.old.yes": ["永久删除", "Delete for good"],
  "did.deleted": ["对话已删除。", "The conversation was deleted."],
  "did.old": ["删除了 {n} 段对话。", "Conversations removed: {n}."],
  "did.fault": ["没有成功：{why}", "That did not work: {why}"],
  "did.offline": ["没有连接，请稍后再试。", "No connection. Please try again."],
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
const MOST = 500;
const NAMES = { customer: "who.customer", desk: "who.desk", agent: "who.agent" };
const KEY = { draft: (id) => `desk.agent.draft.${id}`, box: (id) => `desk.agent.box.${id}` };

const { el, t, label, session, local, ask, Refused, Outbox, Stream, Log, langOf, time, count, reason } = Desk;
const $ = (id) => document.getElementById(id);

let me = local.get("desk.agent.name");
let inside = false;
let queue = { waiting: [], active: [] };
let queueStream = null;
let up = true;
let shown = null;                       // the Thread that is shown
const threads = new Map();              // conversation id → Thread
const seen = local.get("desk.agent.seen", {});   // conversation id → last turn that was on the screen

// ---- one conversation

class Thread {
  constructor(conv) {
    this.id = conv.id;
    this.conv = conv;
    this.stream = null;
    this.after = 0;
    this.build();
    this.log = new Log(this.turns, { mine: "agent", names: NAMES, retry: (id) => this.box.retry(id), drop: (id) => this.box.drop(id),
      seen: (stuck) => { this.down.hidden = stuck || this.log.atEnd(); } });
    this.box = new Outbox(KEY.box(this.id), (item) => this.post(item), () => { this.draw(); drawLists(); });
    this.area.value = session.get(KEY.draft(this.id), "");
    this.grow = Desk.field(this.area, () => this.submit(), () => this.typed());
    $("desk").append(this.root);
    this.draw();
    this.box.run();
  }

  build() {
    const id = `t${this.id}`;
    const act = (key, kind, f) => el(`button.button.small${kind}`, { type: "button", t: key, on: { click: () => this.act(f) } });
    this.title = el("h2", { id: `${id}-title`, tabindex: "-1", dir: "auto" });
    this.voted = el("p.voted", { hidden: true });
    this.paper = el("p.paper");
    this.state = el("p.state", { role: "status" });
    this.acts = {
      take: act("take", ".main", () => this.take()),
      queue: act("to.queue", "", () => this.release("queue")),
      desk: act("to.desk", "", () => this.release("desk")),
      end: act("end", "", () => this.end()),
      remove: act("delete", ".bad", () => this.remove()),
    };
    this.turns = el("ol");
    this.scroll = el("div.log", { role: "log", "aria-live": "polite", "aria-relevant": "additions", "aria-labelledby": `${id}-title`, tabindex: "0" }, this.turns);
    this.down = el("button.button.small.down", { type: "button", hidden: true, on: { click: () => { this.scroll.scrollTop = this.scroll.scrollHeight; } } }, "↓ ", el("span", { t: "down" }));
    this.scroll.addEventListener("scroll", () => { if (this.log.atEnd()) this.down.hidden = true; }, { passive: true });
    this.fault = el("p.banner.bad", { role: "alert", hidden: true });
    this.hint = el("p.quiet");
    this.area = el("textarea", { id: `${id}-text`, rows: 1, dir: "auto", enterkeyhint: "send", autocomplete: "off", "aria-describedby": `${id}-keys ${id}-left`,
      "data-t-placeholder": "reply.hint" });
    this.area.placeholder = t("reply.hint");
    this.left = el("span.left", { id: `${id}-left` });
    this.form = el("form.composer", { on: { submit: (event) => { event.preventDefault(); this.submit(); } } },
      el("div", {}, el("label.sr", { for: `${id}-text`, t: "reply" }), this.area),
      el("button.button.main", { type: "submit", t: "send" }));
    this.under = el("div.under", {}, el("span.keys", { id: `${id}-keys`, t: "keys" }), this.left);
    this.root = el("section.thread", { "aria-labelledby": `${id}-title`, hidden: true },
      el("header", {}, el("button.button.small.back", { type: "button", t: "back", on: { click: list } }), this.title, this.state,
        el("div.acts", {}, ...Object.values(this.acts)), this.voted, this.paper),
      el("div.room", {}, this.scroll, this.down),
      el("div.foot", {}, this.fault, this.hint, this.form, this.under));
  }

  get mine() { return this.conv.status === "agent" && this.conv.agent === me; }
  path(rest = "") { return `/api/agent/conversations/${this.id}${rest}`; }

  async post(item) {
    if (!navigator.onLine) throw new Refused(0, "offline", "", 0);
    const { turn } = await ask("POST", this.path("/messages"), { id: item.id, text: item.text, agent: item.agent });
    this.hear(turn);
  }

  hear(turn) {
    if (turn.conversation !== this.id) return;
    this.log.add(turn);
    this.conv = { ...this.conv, last_turn: Math.max(this.conv.last_turn ?? 0, turn.id) };
    this.look();
  }

  // what is on the screen has been seen
  look() {
    if (shown !== this || document.hidden || !inside) return;
    if ((seen[this.id] ?? -1) >= this.conv.last_turn) return;
    seen[this.id] = this.conv.last_turn;
    local.set("desk.agent.seen", Object.fromEntries(Object.entries(seen).slice(-500)));
    drawLists();
  }

  typed() {
    session.set(KEY.draft(this.id), this.area.value || null);
    this.drawLeft();
    drawLists();
  }

  submit() {
    const text = (this.area.value.toWellFormed ? this.area.value.toWellFormed() : this.area.value).trim();
    if (!this.mine || !text || count(text) > MOST) return;
    this.say(null);
    this.box.add(text, { agent: me });
    this.area.value = "";
    this.typed();
    this.grow();
    this.area.focus();
  }

  async act(f) {
    if (this.acting || this.root.classList.contains("taken")) return;
    this.acting = true;
    this.say(null);
    try {
      await f();
    } catch (fault) {
      if (!(fault instanceof Refused)) throw fault;
      if (fault.status === 401) { leave("in.over"); return; }
      if (fault.status === 404) this.gone();
      else this.say(fault.status === 0 ? t("did.offline") : t("did.fault", { why: reason(fault) }));
    } finally {
      this.acting = false;
      this.draw();
    }
  }

  async take() {
    this.know(await ask("POST", this.path("/claim"), { agent: me }));
    // the second click of a double click on "take" must not hit what then lies under it
    this.root.classList.add("taken");
    setTimeout(() => this.root.classList.remove("taken"), 400);
    if (shown === this) this.area.focus();
  }

  async release(to) {
    this.know(await ask("POST", this.path("/release"), { agent: me, to }));
    if (shown === this) this.title.focus();
  }

  async end() {
    if (!await Desk.confirm($("ask-close"))) return;
    this.know(await ask("POST", this.path("/close"), {}));
    if (shown === this) this.title.focus();
  }

  async remove() {
    $("ask-delete-which").textContent = nameOf(this.conv);
    $("ask-delete-which").lang = langOf(nameOf(this.conv));
    if (!await Desk.confirm($("ask-delete"))) return;
    await ask("DELETE", this.path());
    this.gone();
  }

  know(conv) {
    if (conv.id !== this.id) return;
    this.conv = conv;
    this.draw();
    this.look();
  }

  gone() {
    this.forget();
    seen[this.id] = undefined;
    queue = { waiting: queue.waiting.filter((c) => c.id !== this.id), active: queue.active.filter((c) => c.id !== this.id) };
    stored.list = stored.list.filter((c) => c.id !== this.id);
    session.set(KEY.draft(this.id), null);
    toast("did.deleted");
    drawLists();
    drawStored();
  }

  forget() {
    this.stream?.close();
    this.box.clear();
    threads.delete(this.id);
    this.root.remove();
    if (shown === this) { shown = null; list(); }
  }

  show() {
    if (shown && shown !== this) shown.hide();
    shown = this;
    this.root.hidden = false;
    $("nothing").hidden = true;
    document.body.dataset.view = "thread";
    if (!this.stream) {
      this.scroll.setAttribute("aria-busy", "true");
      this.stream = new Stream(this.path("/stream"), {
        turn: (turn) => this.hear(turn),
        status: (conv) => { this.know(conv); setTimeout(() => this.scroll.removeAttribute("aria-busy"), 300); },
        gone: () => this.gone(),
        refused: () => leave("in.over"),
        up: (is) => { if (is && this.box.problem === "network") this.box.now(); },
      }, { after: this.after, probe: this.path() });
    }
    this.draw();
    this.grow();
    this.scroll.scrollTop = this.scroll.scrollHeight;
    this.look();
    drawLists();
  }

  // one stream for the conversation that is shown: a browser has six connections for a host
  hide() {
    this.after = this.stream?.after ?? this.after;
    this.stream?.close();
    this.stream = null;
    this.root.hidden = true;
  }

  say(words) {
    this.fault.textContent = words ?? "";
    this.fault.hidden = !words;
  }

  draw() {
    if (!this.box) return;
    const { status, agent, queue_position: place } = this.conv;
    const name = nameOf(this.conv);
    if (this.title.textContent !== name) this.title.textContent = this.title.title = name;
    this.title.lang = langOf(name);
    const offline = !up || !navigator.onLine;
    const words = this.mine ? t("s.mine") : status === "agent" ? t("s.agent", { name: agent }) : status === "waiting" && place ? t("s.place", { n: place }) : t(`s.${status}`);
    Desk.state(this.state, offline ? "offline" : { waiting: "waiting", agent: "person", closed: "closed" }[status] ?? "bot",
      offline ? t("state.offline") : words);
    this.paper.textContent = t("paper", { id: this.id.slice(0, 8), at: Desk.whole(this.conv.created) });
    this.voted.hidden = !this.conv.vote;
    this.voted.textContent = votedOf(this.conv.vote);
    this.acts.take.hidden = status !== "waiting";
    for (const key of ["queue", "desk"]) this.acts[key].hidden = !this.mine;
    this.acts.end.hidden = !(this.mine || status === "waiting");
    this.form.hidden = !this.mine;
    this.under.hidden = !this.mine;
    this.hint.hidden = this.mine;
    if (!this.mine) this.hint.textContent = `${t(`why.${status}`, { name: agent })} ${this.area.value ? t("why.draft") : ""}`.trim();
    this.log.pending(this.box.items, this.box.problem ?? (offline ? "network" : null));
    this.drawLeft();
  }

  drawLeft() {
    const n = MOST - count(this.area.value.trim());
    this.left.classList.toggle("over", n < 0);
    const words = n < 0 ? t("over", { n: -n }) : n <= 100 ? t("left", { n }) : "";
    if (this.left.textContent !== words) this.left.textContent = words;
    this.area.setAttribute("aria-invalid", String(n < 0));
  }
}

const votedOf = (vote) => (vote ? [t("voted.score", { n: vote.score }), Number.isInteger(vote.recommend) ? t("voted.recommend", { n: vote.recommend }) : "",
  vote.comment ? `“${vote.comment}”` : ""].filter(Boolean).join(" · ") : "");
const whyOf = (conv) => (WORDS[`for.${conv.why}`] ? t(`for.${conv.why}`) : conv.why ?? "");
const nameOf = (conv) => conv.subject || `${t("row.nameless")} ${conv.id.slice(0, 6)}`;

function open(conv) {
  if (!threads.has(conv.id)) threads.set(conv.id, new Thread(conv));
  const thread = threads.get(conv.id);
  thread.show();
  thread.title.focus({ preventScroll: true });
}

// the list, on a telephone instead of the thread
function list() {
  const from = shown?.id;
  shown?.hide();
  shown = null;
  document.body.dataset.view = "list";
  $("nothing").hidden = false;
  drawLists();
  (document.querySelector(`.side [data-id="${from}"] button`) ?? document.querySelector('.tabs [aria-selected="true"]'))?.focus();
}

// ---- lists: rows are kept by their id, so that a new one does not take the focus away

const minutes = (at) => Math.floor((Date.now() - new Date(at).getTime()) / 60000);
const unread = (conv) => conv.last_turn > (seen[conv.id] ?? -1);

function fillRow(button, conv, where) {
  const marks = [];
  const mark = (kind, key, values) => marks.push(el(`span.mark${kind}`, {}, t(key, values)));
  const mine = conv.status === "agent" && conv.agent === me;
  if ((conv.status === "waiting" || mine) && unread(conv)) mark(".new", conv.id in seen ? "row.unread" : "row.new");
  if (where === "stored") {
    if (conv.status === "agent") mark(".person", "s.agent", { name: conv.agent });
    else mark(conv.status === "waiting" ? ".waiting" : "", `st.${conv.status}`);
    if (conv.vote) mark("", "row.vote", { n: conv.vote.score });
  } else if (conv.status === "agent" && !mine) mark(".person", "s.agent", { name: conv.agent });
  if (session.get(KEY.box(conv.id))) mark(".waiting", "row.unsent");
  if (session.get(KEY.draft(conv.id))) mark("", "row.draft");
  const why = whyOf(conv);
  const waited = conv.waiting_since ? minutes(conv.waiting_since) : 0;
  const when = conv.status === "waiting" && where !== "stored"
    ? el("span.when", {}, waited < 1 ? t("row.now") : waited < 60 ? t("row.waits", { n: waited }) : t("row.hours", { n: Math.floor(waited / 60) })) : el("span.when", {}, time(conv.updated));
  const name = nameOf(conv);
  const parts = [el("span.name", { lang: langOf(name), dir: "auto" }, name), when];
  if (why) parts.push(el("span.last", { lang: langOf(why) }, why));
  if (marks.length) parts.push(el("span.marks", {}, ...marks));
  button.replaceChildren(...parts);
  if (shown?.id === conv.id) button.setAttribute("aria-current", "true");
  else button.removeAttribute("aria-current");
}

function fill(ul, convs, where) {
  const old = new Map([...ul.children].map((li) => [li.dataset.id, li]));
  const focused = document.activeElement?.closest?.("li")?.parentNode === ul ? document.activeElement.closest("li") : null;
  const rows = convs.map((conv) => {
    let li = old.get(conv.id);
    if (!li) {
      li = el("li", { "data-id": conv.id }, el("button.item", { type: "button" }));
      li.firstChild.addEventListener("click", () => open(li.conv));
    }
    li.conv = conv;
    const like = JSON.stringify([conv, seen[conv.id], shown?.id === conv.id, Desk.lang, me, session.get(KEY.draft(conv.id)) !== null,
      session.get(KEY.box(conv.id)) !== null, conv.waiting_since ? minutes(conv.waiting_since) : 0, where]);
    if (li.like !== like) { li.like = like; fillRow(li.firstChild, conv, where); }
    return li;
  });
  if (rows.length !== ul.children.length || rows.some((li, i) => li !== ul.children[i])) {
    ul.replaceChildren(...rows);
    if (focused?.isConnected) focused.firstChild.focus({ preventScroll: true });
  }
}

function drawLists() {
  if (!inside) return;
  const mine = queue.active.filter((c) => c.agent === me);
  const others = queue.active.filter((c) => c.agent !== me);
  fill($("waiting"), queue.waiting, "waiting");
  fill($("mine"), mine, "mine");
  fill($("others"), others, "others");
  $("waiting-none").hidden = queue.waiting.length > 0;
  $("mine-none").hidden = mine.length > 0;
  $("others-part").hidden = !others.length;
  $("waiting-count").textContent = queue.waiting.length;
  $("waiting-count").classList.toggle("none", !queue.waiting.length);
  const news = [...queue.waiting, ...mine].filter(unread).length;
  document.title = `${news ? `(${news}) ` : ""}${t("title")}`;
  const offline = !up || !navigator.onLine;
  const words = offline ? t("state.offline") : queue.waiting.length ? t("waiting.count", { n: queue.waiting.length }) : t("state.up");
  Desk.state($("state"), offline ? "offline" : queue.waiting.length ? "waiting" : "bot", words);
  if (!$("panel-stored").hidden) fill($("stored"), found(), "stored");
}

// ---- what is stored

const stored = { list: [], more: false, turn: 0, timer: 0, words: "" };
const wanted = () => $("find").value.trim();

// one page of what the desk finds, or as many as were there
async function load({ least = 0 } = {}) {
  const mine = ++stored.turn;
  const words = wanted();
  const rows = [];
  let more = true;
  try {
    while (more && rows.length < Math.max(100, least)) {
      const last = rows.at(-1);
      const query = new URLSearchParams({ limit: 100 });
      if ($("status").value) query.set("status", $("status").value);
      if (words) query.set("q", words);
      if (last) { query.set("before", last.updated); query.set("before_id", last.id); }
      const page = await ask("GET", `/api/agent/conversations?${query}`);
      if (mine !== stored.turn) return;
      const known = new Set(rows.map((c) => c.id));
      const fresh = page.conversations.filter((c) => !known.has(c.id));
      rows.push(...fresh);
      more = page.more && fresh.length > 0;
    }
  } catch (fault) {
    if (!(fault instanceof Refused)) throw fault;
    if (fault.status === 401) leave("in.over");
    else toast(fault.status === 0 ? "did.offline" : "did.fault", { why: reason(fault) });
    return;
  }
  Object.assign(stored, { list: rows, more, words });
  drawStored();
}

// until the desk has looked through what was said: those whose first words it stands in
function found() {
  if (stored.words === wanted()) return stored.list;
  const words = wanted().toLowerCase().split(/\s+/).filter(Boolean);
  return stored.list.filter((c) => {
    const text = [c.subject, whyOf(c), c.agent, c.id].join("\n").toLowerCase();
    return words.every((w) => text.includes(w));
  });
}

function drawStored() {
  if ($("panel-stored").hidden) return;
  const rows = found();
  fill($("stored"), rows, "stored");
  $("more").hidden = !stored.more;
  $("found").textContent = rows.length ? t(stored.more ? "found.more" : "found", { n: rows.length }) : t("found.none");
}

function refresh(pause = 800) {
  if ($("panel-stored").hidden || stored.timer) return;
  stored.timer = setTimeout(() => { stored.timer = 0; load({ least: stored.list.length }); }, pause);
}

// ---- tabs

const TABS = ["queue", "stored"];
function tab(name, focus = false) {
  for (const n of TABS) {
    $(`tab-${n}`).setAttribute("aria-selected", String(n === name));
    $(`tab-${n}`).tabIndex = n === name ? 0 : -1;
    $(`panel-${n}`).hidden = n !== name;
  }
  if (focus) $(`tab-${name}`).focus();
  if (name === "stored") { drawStored(); load(); }
}
for (const n of TABS) {
  $(`tab-${n}`).addEventListener("click", () => tab(n));
  $(`tab-${n}`).addEventListener("keydown", (event) => {
    if (["ArrowLeft", "ArrowRight"].includes(event.key)) { event.preventDefault(); tab(TABS[1 - TABS.indexOf(n)], true); }
  });
}

$("find").addEventListener("input", () => { drawStored(); refresh(250); });
$("status").addEventListener("change", () => load());
$("more").addEventListener("click", () => load({ least: stored.list.length + 100 }));
$("old").addEventListener("click", async () => {
  if (!await Desk.confirm($("ask-old"))) return;
  const days = $("days");
  if (days.value === "" || !days.checkValidity()) return;
  try {
    const { deleted } = await ask("POST", "/api/agent/retention", { days: Number(days.value) });
    toast("did.old", { n: deleted });
    load();
  } catch (fault) {
    if (!(fault instanceof Refused)) throw fault;
    toast(fault.status === 0 ? "did.offline" : "did.fault", { why: reason(fault) });
  }
});

let toastTimer = 0;
function toast(key, values = {}) {
  clearTimeout(toastTimer);
  $("toast").textContent = t(key, values);
  $("toast").hidden = false;
  toastTimer = setTimeout(() => { $("toast").hidden = true; }, 6000);
}

// ---- in and out

function enter() {
  inside = true;
  $("entry").hidden = true;
  for (const id of ["side", "desk", "out", "me"]) $(id).hidden = false;
  $("me").textContent = $("me").title = t("me", { name: me });
  queueStream?.close();
  queueStream = new Stream("/api/agent/stream", {
    queue: (next) => {
      queue = next;
      const all = [...queue.waiting, ...queue.active];
      for (const conv of all) {
        const thread = threads.get(conv.id);
        // the shown one hears it from its own stream
        if (thread && thread !== shown) thread.know(conv);
        // a reply that was on its way when the page was reloaded
        else if (!thread && session.get(KEY.box(conv.id))) threads.set(conv.id, new Thread(conv));
      }
      drawLists();
      refresh();
    },
    up: (is) => {
      up = is;
      drawLists();
      for (const thread of threads.values()) { thread.draw(); if (is && thread.box.problem === "network") thread.box.now(); }
    },
    gone: () => {},
    refused: () => leave("in.over"),
  }, { probe: "/api/agent/queue" });
  drawLists();
}

// signed out, by oneself or by the server; drafts stay unless one leaves oneself
function leave(why = null, forget = false) {
  inside = false;
  queueStream?.close();
  for (const thread of [...threads.values()]) {
    thread.stream?.close();
    if (forget) { session.set(KEY.draft(thread.id), null); thread.box.clear(); } else clearTimeout(thread.box.timer);
    thread.root.remove();
  }
  threads.clear();
  shown = null;
  queue = { waiting: [], active: [] };
  stored.list = [];
  $("nothing").hidden = false;
  document.body.dataset.view = "list";
  for (const id of ["side", "desk", "out", "me"]) $(id).hidden = true;
  Desk.state($("state"), "none", "");
  entry(true, why);
}

function entry(token, why = null) {
  $("entry").hidden = false;
  $("token-part").hidden = !token;
  $("token").required = token;
  $("name").value = me ?? "";
  $("in-fault").textContent = why ? t(why) : "";
  (me && token ? $("token") : $("name")).focus();
}

async function login(token) {
  try {
    await ask("POST", "/api/agent/login", { token });
    return null;
  } catch (fault) {
    if (!(fault instanceof Refused)) throw fault;
    return fault.status === 401 ? t("in.wrong") : fault.status === 0 ? t("did.offline") : reason(fault);
  }
}

$("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  const name = $("name").value.trim();
  if (!name) return;
  if (!$("token-part").hidden) {
    // the whole address may be pasted
    const why = await login($("token").value.trim().replace(/^.*#token=/, ""));
    $("in-fault").textContent = why ?? "";
    if (why) { $("token").focus(); return; }
  }
  me = name;
  local.set("desk.agent.name", me);
  $("token").value = "";
  enter();
  $("tab-queue").focus();
});

$("out").addEventListener("click", async () => {
  try { await ask("POST", "/api/agent/logout", {}); } catch { /* the page forgets in any case */ }
  leave(null, true);
});

async function begin() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (location.hash) history.replaceState(null, "", location.pathname);
  const why = token ? await login(token) : null;
  if (why) { entry(true); $("in-fault").textContent = why; return; }
  for (;;) {
    try {
      queue = await ask("GET", "/api/agent/queue");
      break;
    } catch (fault) {
      if (!fault.passing) { entry(true); return; }
      Desk.state($("state"), "offline", t("state.offline"));
      await new Promise((wait) => { setTimeout(wait, 2000); });
    }
  }
  Desk.state($("state"), "none", "");
  if (me) enter();
  else entry(false);
}

function words() {
  document.title = t("title");
  if (me) $("me").textContent = $("me").title = t("me", { name: me });
  for (const thread of threads.values()) thread.draw();
  drawLists();
  drawStored();
}

addEventListener("hashchange", () => { if (location.hash.startsWith("#token=")) begin(); });
addEventListener("online", () => {
  queueStream?.wake();
  for (const thread of threads.values()) { thread.stream?.wake(); thread.box.now(); }
  drawLists();
});
addEventListener("offline", () => { drawLists(); for (const thread of threads.values()) thread.draw(); });
document.addEventListener("visibilitychange", () => shown?.look());
setInterval(drawLists, 20000);

Desk.languages(WORDS, "desk.agent.language", words);
words();
begin();
