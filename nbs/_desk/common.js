// What both pages of the desk share: words, storage, requests, one queue for what is sent, and how a turn looks.
// Text from people or the server is only ever set as textContent.
"use strict";

const Desk = (() => {
  const LANGS = { zh: "zh-CN", en: "en" };

  // ---- storage that may be forbidden or full

  const store = (area) => ({
    get(key, otherwise = null) {
      try {
        const text = window[area].getItem(key);
        return text === null ? otherwise : JSON.parse(text);
      } catch { return otherwise; }
    },
    set(key, value) {
      try {
        if (value === null || value === undefined) window[area].removeItem(key);
        else window[area].setItem(key, JSON.stringify(value));
      } catch { /* the page works without it, until it is reloaded */ }
    },
  });
  const session = store("sessionStorage");
  const local = store("localStorage");

  // crypto.randomUUID exists on https and localhost only; a phone in the same room comes by http
  const newId = () => [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");

  // ---- elements

  // el("p.quiet", {id: "x"}, "text", child): attributes by setAttribute, text as text
  function el(name, attributes = {}, ...children) {
    const [tag, ...classes] = name.split(".");
    const made = document.createElement(tag);
    if (classes.length) made.className = classes.join(" ");
    for (const [key, value] of Object.entries(attributes)) {
      if (value === null || value === undefined || value === false) continue;
      if (key === "on") for (const [event, f] of Object.entries(value)) made.addEventListener(event, f);
      else if (key === "t") label(made, value);
      else made.setAttribute(key, value === true ? "" : value);
    }
    made.append(...children.filter((c) => c !== null && c !== undefined));
    return made;
  }

  // ---- words

  let lang = "zh";
  let words = {};
  const t = (key, values = {}) =>
    (words[key] ?? [key, key])[lang === "zh" ? 0 : 1].replace(/\{(\w+)\}/g, (all, name) => (name in values ? String(values[name]) : all));

  function label(element, key) {
    element.dataset.t = key;
    element.textContent = t(key);
  }

  function speak(next, key) {
    lang = next === "en" ? "en" : "zh";
    local.set(key, lang);
    document.documentElement.lang = LANGS[lang];
    for (const e of document.querySelectorAll("[data-t]")) e.textContent = t(e.dataset.t);
    for (const e of document.querySelectorAll("[data-t-label]")) e.setAttribute("aria-label", t(e.dataset.tLabel));
    for (const e of document.querySelectorAll("[data-t-placeholder]")) e.placeholder = t(e.dataset.tPlaceholder);
    for (const e of document.querySelectorAll("time[datetime]")) e.textContent = clock(e.dateTime);
    for (const b of document.querySelectorAll(".languages button")) b.setAttribute("aria-pressed", String(b.value === lang));
  }

  // key: where the choice is remembered; changed: called after each switch
  function languages(table, key, changed) {
    words = table;
    const asked = local.get(key) ?? (navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en");
    speak(asked, key);
    for (const b of document.querySelectorAll(".languages button")) {
      b.addEventListener("click", () => { speak(b.value, key); changed(); });
    }
  }

  // "" (not known) for letters that are neither: a voice must not read Arabic as English
  const foreign = (text) => /\p{L}/u.test(text) && !/[\p{Script=Han}\p{Script=Latin}]/u.test(text);
  const langOf = (text) => (foreign(text) ? "" : /\p{Script=Han}/u.test(text) ? LANGS.zh : LANGS.en);
  const langTag = (turn) => (foreign(turn.text) ? "" : LANGS[turn.language] ?? langOf(turn.text));

  function clock(at) {
    const when = new Date(at);
    if (Number.isNaN(when.getTime())) return "";
    const today = when.toDateString() === new Date().toDateString();
    const form = { hour: "2-digit", minute: "2-digit", hour12: false, ...(today ? {} : { month: "short", day: "numeric" }) };
    return when.toLocaleString(LANGS[lang], form);
  }
  const whole = (at) => new Date(at).toLocaleString(LANGS[lang], { dateStyle: "long", timeStyle: "short" });
  const time = (at) => el("time", { datetime: at }, clock(at));

  // a pill that says how things stand; too long a name is cut, and whole in its tooltip
  function state(pill, kind, text) {
    pill.dataset.state = kind;
    if (pill.textContent === text) return;
    pill.replaceChildren(...(text ? [el("span", {}, text)] : []));
    pill.title = text;
  }

  const count = (text) => [...text].length;      // as the server counts: a 👍 is one

  // ---- requests

  class Refused extends Error {
    constructor(status, code, detail, wait) {
      super(detail);
      Object.assign(this, { status, code, detail, wait });
    }
    // worth another try with the same id: nothing is known, or the server asked for patience
    get passing() { return [0, 408, 429, 500, 502, 503, 504].includes(this.status); }
  }

  async function ask(method, path, body) {
    const request = { method, headers: { Accept: "application/json" }, credentials: "same-origin", cache: "no-store" };
    if (body !== undefined) {
      request.headers["Content-Type"] = "application/json";
      request.body = JSON.stringify(body);
    }
    if (window.AbortSignal && AbortSignal.timeout) request.signal = AbortSignal.timeout(20000);
    let answer;
    let data = null;
    try {
      answer = await fetch(path, request);
      const text = await answer.text();
      if (text) data = JSON.parse(text);
    } catch (fault) {
      if (!answer || answer.ok) throw new Refused(0, "network", String(fault.message ?? fault), 0);
    }
    if (answer.ok) return data;
    const detail = data && typeof data.detail === "string" ? data.detail : `${answer.status} ${answer.statusText}`.trim();
    throw new Refused(answer.status, (data && data.code) || "", detail, Number(answer.headers.get("Retry-After")) || 0);
  }

  // why something was refused, in the reader's language where the page has words for it
  const reason = (fault) => (words[`code.${fault.code}`] ? t(`code.${fault.code}`) : fault.detail ?? fault.why ?? "");

  // ---- what waits to be sent: in order, each once (its id is the server's proof), kept over a reload

  const PAUSES = [1, 2, 4, 8, 15, 30];

  class Outbox {
    // post(item) sends one; changed() draws; key names the place in sessionStorage
    constructor(key, post, changed) {
      Object.assign(this, { key, post, changed, timer: 0, busy: false, problem: null, until: 0 });
      this.items = session.get(key, []).map((item) => ({ ...item, state: item.state === "failed" ? "failed" : "queued" }));
    }

    add(text, more = {}) {
      const item = { id: newId(), text, at: new Date().toISOString(), state: "queued", ...more };
      this.items.push(item);
      this.save();
      this.run();
      return item;
    }

    save() {
      session.set(this.key, this.items.length ? this.items : null);
      this.changed();
    }

    drop(id) {
      this.items = this.items.filter((item) => item.id !== id);
      this.save();
    }

    // what was refused for good goes to the end, where the person sees it go
    retry(id) {
      const item = this.items.find((i) => i.id === id);
      if (!item) return;
      if (item.state === "failed") {
        this.items = [...this.items.filter((i) => i !== item), item];
        Object.assign(item, { state: "queued", why: "" });
      }
      this.save();
      this.now();
    }

    now() {
      clearTimeout(this.timer);
      this.timer = 0;
      this.run();
    }

    clear() {
      clearTimeout(this.timer);
      Object.assign(this, { timer: 0, problem: null, tries: 0, items: [] });
      this.save();
    }

    async run() {
      if (this.busy || this.timer) return;
      this.busy = true;
      try {
        let item;
        while ((item = this.items.find((i) => i.state === "queued"))) {
          item.state = "sending";
          this.save();
          try {
            await this.post(item);
            this.tries = 0;
            this.problem = null;
            this.items = this.items.filter((i) => i !== item);
          } catch (fault) {
            if (!(fault instanceof Refused)) throw fault;
            if (!this.items.includes(item)) continue;          // its conversation went in the meantime
            if (!fault.passing) {
              Object.assign(item, { state: "failed", why: fault.detail, code: fault.code });
              continue;
            }
            item.state = "queued";
            this.tries = (this.tries ?? 0) + 1;
            const pause = fault.wait || PAUSES[Math.min(this.tries, PAUSES.length) - 1];
            this.problem = fault.status === 429 ? "limit" : fault.status === 0 ? "network" : "server";
            this.until = Date.now() + 1000 * pause;
            this.timer = setTimeout(() => this.now(), 1000 * pause);
            return;
          }
        }
      } finally {
        this.busy = false;
        this.save();
      }
    }
  }

  // ---- a stream of turns that survives the server

  // after: the last turn that this stream brought. The browser resumes by itself (Last-Event-ID);
  // where it gave up, because the answer was an error, we ask `probe` why and begin again after the same turn.
  // hear: turn, status, queue, gone (deleted), refused (signed out), up (does it stand?)
  class Stream {
    constructor(path, hear, { after = 0, probe = path.replace(/\/stream$/, "") } = {}) {
      Object.assign(this, { path, after, probe, hear, tries: 0, timer: 0, over: false });
      this.open();
    }

    open() {
      clearTimeout(this.timer);
      if (this.over) return;
      this.source?.close();
      const source = new EventSource(this.after ? `${this.path}?after=${this.after}` : this.path);
      this.source = source;
      const on = (kind, f) => source.addEventListener(kind, (event) => {
        if (this.source === source && !this.over) f(event.data ? JSON.parse(event.data) : null);
      });
      on("open", () => { this.tries = 0; this.hear.up(true); });
      on("turn", (turn) => { this.after = Math.max(this.after, turn.id); this.hear.turn(turn); });
      on("status", (conversation) => this.hear.status(conversation));
      on("queue", (queue) => this.hear.queue(queue));
      on("gone", () => { this.close(); this.hear.gone(); });
      on("error", () => {
        this.hear.up(false);
        if (source.readyState === EventSource.CLOSED) {
          this.timer = setTimeout(() => this.again(), 1000 * PAUSES[Math.min(this.tries++, PAUSES.length - 1)]);
        }
      });
    }

    // an EventSource does not say why: ask
    async again() {
      if (this.over) return;
      try {
        await ask("GET", this.probe);
      } catch (fault) {
        if (this.over) return;
        if (fault.status === 404) { this.close(); this.hear.gone(); return; }
        if (fault.status === 401) { this.close(); this.hear.refused?.(); return; }
      }
      this.open();
    }

    // the network is back: do not wait for the browser's own pause
    wake() { if (!this.over && this.source?.readyState !== EventSource.OPEN) this.open(); }

    close() {
      this.over = true;
      clearTimeout(this.timer);
      this.source?.close();
    }
  }

  // ---- how a turn looks

  const code = (value) => {
    const text = typeof value === "object" ? JSON.stringify(value) : String(value);
    return el("code", { lang: langOf(text) }, text);
  };

  function traceOf(trace) {
    const list = el("dl");
    const row = (key, ...children) => list.append(el("dt", { t: key }), el("dd", {}, ...children));
    const { intent, probability, slots, rule, source, ...rest } = trace;
    row("trace.intent", intent ? code(intent) : el("span", { t: "trace.none" }));
    if (typeof probability === "number") {
      const percent = Math.round(probability * 1000) / 10;
      const meter = el("meter", { min: 0, max: 1, value: probability, "aria-hidden": "true" });
      row("trace.probability", meter, `${percent} %`);
    } else row("trace.probability", el("span", { t: "trace.none" }));
    const found = slots && typeof slots === "object" ? Object.entries(slots) : [];
    row("trace.slots", found.length
      ? el("ul.slots", {}, ...found.map(([name, value]) => el("li", {}, code(name), " = ", code(value))))
      : el("span", { t: "trace.none" }));
    row("trace.rule", rule ? code(rule) : el("span", { t: "trace.none" }));
    const sources = (Array.isArray(source) ? source : [source]).filter((s) => s !== null && s !== undefined && s !== "");
    row("trace.source", sources.length
      ? el("ul.slots", {}, ...sources.map((s) => el("li", {}, code(s)))) : el("span", { t: "trace.none" }));
    for (const [name, value] of Object.entries(rest)) {
      if (value === null || value === undefined) continue;
      const known = words[`trace.${name}`];
      list.append(known ? el("dt", { t: `trace.${name}` }) : el("dt", { lang: "en" }, name), el("dd", {}, code(value)));
    }
    const opened = (event) => { if (event.target.open) list.scrollIntoView({ block: "nearest" }); };
    return el("details.trace", { on: { toggle: opened } }, el("summary", { t: "trace.title" }), list);
  }

  // The turns of one conversation, in order of their ids; what is not sent yet stands below them.
  class Log {
    constructor(box, { mine, names, retry, drop, seen }) {
      Object.assign(this, { box, mine, names, retry, drop, seen, turns: new Map(), waiting: new Map() });
      // who reads the newest goes on reading it when a keyboard, a form or a longer draft takes room
      let end = true;
      this.scroller().addEventListener("scroll", () => { end = this.atEnd(); }, { passive: true });
      new ResizeObserver(() => this.settle(end)).observe(this.scroller());
    }

    // the element of a turn, filled anew: an optimistic bubble becomes the turn that came back
    fill(item, turn) {
      const kind = { customer: "user", desk: "bot", agent: "agent", note: "note" }[turn.role] ?? "note";
      item.className = `turn ${kind}`;
      item.dataset.role = turn.role;
      delete item.dataset.state;
      if (turn.id !== undefined) item.dataset.id = turn.id;
      if (turn.client_id) item.dataset.client = turn.client_id;
      const before = item.querySelector(":scope > .bubble");
      if (before?.textContent === turn.text) {        // the same words: not drawn again, not read out again
        before.lang = langTag(turn);
        for (const e of item.querySelectorAll(".fate, .going")) e.remove();
        const at = item.querySelector("time");
        at.dateTime = turn.at;
        if (at.textContent !== clock(turn.at)) at.textContent = clock(turn.at);
        return item;
      }
      const name = turn.author ?? null;
      const who = el("div.who", {}, name === null ? el("span", { t: this.names[turn.role] ?? "who.note" })
        : el("bdi", { lang: langOf(name) }, name), time(turn.at));
      const bubble = el("div.bubble", { lang: langTag(turn), dir: "auto" });
      bubble.textContent = turn.text;
      item.replaceChildren(...(kind === "note" ? [bubble] : [who, bubble]));
      if (turn.role === "desk" && turn.trace) item.append(traceOf(turn.trace));
      return item;
    }

    add(turn) {
      if (this.turns.has(turn.id)) return false;
      const stick = this.atEnd();
      const sent = turn.client_id ? this.waiting.get(turn.client_id) : undefined;
      if (sent) this.waiting.delete(turn.client_id);
      const item = this.fill(sent ?? el("li"), turn);
      this.turns.set(turn.id, item);
      const later = [...this.box.children].find((e) => e !== item && (e.dataset.id === undefined || Number(e.dataset.id) > turn.id));
      if (item.nextElementSibling !== (later ?? null) || !item.parentNode) this.box.insertBefore(item, later ?? null);
      this.settle(stick || turn.role === this.mine, true);
      return true;
    }

    // what waits, as the outbox has it
    pending(items, problem) {
      const stick = this.atEnd();
      const ids = new Set(items.map((i) => i.id));
      for (const [id, item] of this.waiting) {
        if (!ids.has(id)) { item.remove(); this.waiting.delete(id); }
      }
      let fresh = false;
      for (const one of items) {
        let item = this.waiting.get(one.id);
        if (!item) {
          if (this.box.querySelector(`[data-client="${one.id}"]`)) continue;      // it came by the stream before its answer
          item = this.fill(el("li"), { role: this.mine, text: one.text, at: one.at, client_id: one.id, author: one.agent });
          this.waiting.set(one.id, item);
          this.box.append(item);
          fresh = true;
        }
        this.fate(item, one, one.state === "failed" ? "failed" : problem ?? "sending");
      }
      const order = items.map((i) => this.waiting.get(i.id)).filter(Boolean);
      const now = [...this.box.children].filter((e) => order.includes(e));
      if (order.some((e, i) => e !== now[i])) this.box.append(...order);
      this.settle(stick || fresh);
    }

    // what becomes of a message that has not arrived, and what one can do about it
    fate(item, one, state) {
      if (item.dataset.state === state) return;
      item.dataset.state = state;
      item.classList.add("unsent");
      item.classList.toggle("failed", state === "failed");
      for (const e of item.querySelectorAll(".fate, .going")) e.remove();
      if (state === "sending") {
        item.querySelector(".who").append(el("span.going", { t: "fate.sending", "aria-hidden": "true" }));
        return;
      }
      const fate = el("div.fate", {}, el("span", { t: `fate.${state}` }));
      const why = state === "failed" ? reason(one) : "";
      if (why) fate.append(el("span", { lang: langOf(why) }, why));
      fate.append(el("button.link", { type: "button", t: "fate.retry", on: { click: () => this.retry(one.id) } }),
        el("button.link", { type: "button", t: "fate.drop", on: { click: () => this.drop(one.id) } }));
      item.append(fate);
    }

    clear() {
      this.turns.clear();
      this.waiting.clear();
      this.box.replaceChildren();
    }

    scroller() { return this.box.closest(".log"); }
    atEnd() { const s = this.scroller(); return s.scrollHeight - s.scrollTop - s.clientHeight < 80; }
    settle(stick, news = false) {
      const s = this.scroller();
      if (stick && this.box.firstChild) s.scrollTop = s.scrollHeight;       // an empty page begins at its top
      if (news) this.seen?.(stick);
    }
  }

  // ---- a field that grows, sends by Enter, and leaves an input method alone

  function field(area, send, changed) {
    const grow = () => {
      area.style.height = "auto";
      area.style.height = `${Math.min(area.scrollHeight + 2, 144)}px`;
    };
    area.addEventListener("input", () => { grow(); changed(); });
    area.addEventListener("keydown", (event) => {
      // 229: Safari ends a composition before it sends the Enter that ended it
      if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
      event.preventDefault();
      send();
    });
    requestAnimationFrame(grow);
    return grow;
  }

  // a dialog that answers true or false; Escape and a click beside it mean no
  function confirm(dialog) {
    return new Promise((answer) => {
      dialog.returnValue = "";
      dialog.addEventListener("close", () => answer(dialog.returnValue === "yes"), { once: true });
      dialog.showModal();
    });
  }
  document.addEventListener("click", (event) => {
    const button = event.target instanceof Element ? event.target.closest("dialog button[value]") : null;
    if (button) button.closest("dialog").close(button.value);
    else if (event.target instanceof HTMLDialogElement && event.target.open) {
      const r = event.target.getBoundingClientRect();
      if (event.clientX < r.left || event.clientX > r.right || event.clientY < r.top || event.clientY > r.bottom) event.target.close("");
    }
  });

  return { LANGS, session, local, newId, el, t, label, languages, langOf, langTag, clock, whole, time, state, count, Refused, reason, ask, Outbox,
           Stream, Log, field, confirm, get lang() { return lang; } };
})();
