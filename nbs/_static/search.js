// The search of the book. The build runs `BookSearch.index` over the text of the pages (press/15_search) and writes what it
// returns to searchindex.js; the page search.html ranks with `BookSearch.find`. So words are cut and stemmed by one piece of
// code, and a page opened from a disk needs nothing but these two files.
const BookSearch = (() => {
  const HAN = /^[\u3400-\u9fff]/;
  const RUNS = /[\u3400-\u9fff]+|[\p{L}\p{N}_]+?(?=[\u3400-\u9fff]|[^\p{L}\p{N}_]|$)/gu;
  // words that a question has and a page does not need
  const EMPTY = new Set(("a about an and any are as at be between by can could did do does for from had has have how i if in into is it "
    + "its let me my not of on or our s should so t than that the their them then there these they this to too use used using vs was "
    + "we were what when where which who why will with would you your").split(" "));
  const ASKING = /什么是|是什么|什么|为什么|怎么样|怎么|怎样|如何|哪些|哪个|有没有|是否|以及|和|与|的|了|吗|呢/g;
  // a page's weight by what it is: a lesson teaches, the others prove or document
  const WEIGHT = { start: 1, lesson: 1, glossary: .75, data: .8, table: .7, article: .55, teach: .8, checks: .25, workbench: .3, api: .2 };
  const FIELDS = { title: 8, heading: 3, promise: 3, text: 1 };
  const stemmer = new EnglishStemmer();
  const known = new Map();

  // British and American spelling meet: what this makes of a word need not be a word, if both sides become the same
  const spelling = (w) => w.length < 6 ? w
    : w.replace(/is(e[drs]?|ers|ing|ations?)$/, "iz$1").replace(/([a-z]{2})our/, "$1or").replace(/ll(ing|ed|er|ers)$/, "l$1")
       .replace(/^catalogue/, "catalog").replace(/tre(s?)$/, "ter$1").replace(/ence(s?)$/, "ense$1");

  function stem(word) {
    const w = word.toLowerCase();
    if (!known.has(w)) known.set(w, stemmer.stemWord(spelling(w)));
    return known.get(w);
  }

  // Terms of a text: Chinese in pairs of characters, English in stems; a compound also in one piece, so that
  // "back-propagation" and "backpropagation" are the same word.
  function terms(text) {
    const out = [];
    for (const run of text.match(RUNS) || []) {
      if (!HAN.test(run)) { if (!EMPTY.has(run.toLowerCase()) && (run.length > 1 || /\p{L}/u.test(run))) out.push(stem(run)); continue; }
      if (run.length === 1) out.push(run);
      for (let i = 0; i + 1 < run.length; i++) out.push(run.slice(i, i + 2));
    }
    for (const m of text.matchAll(/(?<![\p{L}\p{N}])[A-Za-z]+(?:[-/][A-Za-z]+)+(?![\p{L}\p{N}])/gu)) out.push(stem(m[0].replace(/[-/]/g, "")));
    return out;
  }

  const level = (n) => Math.min(7, Math.round(2 * Math.log2(1 + n)));      // how often, in three bits

  // pages: [{path, kind, title, promise, headings: [[text, anchor]], text}]; glossary: [{english, chinese, also, definition, lesson, anchor}]
  function index(pages, glossary) {
    const words = {};
    pages.forEach((p, i) => {
      const count = new Map();
      for (const t of terms(p.text)) if (!/^\d+$/.test(t)) count.set(t, (count.get(t) || 0) + 1);
      for (const [t, n] of count) {
        const found = Object.hasOwn(words, t) ? words[t] : (words[t] = []);
        found.push(i * 8 + level(n));
      }
    });
    // the places of a word as differences: smaller numbers
    for (const t of Object.keys(words)) words[t] = words[t].map((v, k, all) => (k ? v - all[k - 1] : v)).join(" ");
    return { pages: pages.map((p) => [p.path, p.kind, p.title, p.promise, p.headings]),
             glossary: glossary.map((g) => [g.english, g.chinese, g.also, g.definition, g.lesson, g.anchor]), words };
  }

  let data = null;
  function load(made) {
    const title = made.pages.map((p) => new Set(terms(p[2])));
    const promise = made.pages.map((p) => new Set(terms(p[3])));
    const headings = made.pages.map((p) => p[4].map((h) => new Set(terms(h[0]))));
    const entries = made.glossary.map((g) => ({
      english: g[0], chinese: g[1], definition: g[3], lesson: g[4], anchor: g[5],
      names: [g[0], g[1].replace(/（.*?）/g, ""), ...g[2].split("|")].filter((x) => x)
        .flatMap((x) => (/\w[-/]\w/.test(x) ? [x, x.replace(/[-/]/g, "")] : [x])).map((x) => [...new Set(terms(x))]).filter((x) => x.length) }));
    data = { ...made, title, promise, headings, entries };
  }

  function places(term) {
    let at = 0;
    const found = Object.hasOwn(data.words, term) ? data.words[term] : "";
    return new Map(found.split(" ").filter((x) => x).map((d) => { at += +d; return [at >> 3, at & 7]; }));
  }

  // A term of the glossary is meant if all words of one of its names stand in the question, unless they are a part of a
  // longer name that stands there too: "nearest neighbours" in "approximate nearest neighbours".
  function meant(asked) {
    const found = [];
    for (const e of data.entries) {
      const fits = e.names.filter((name) => name.every((t) => asked.has(t)));
      if (fits.length) found.push({ entry: e, words: new Set(fits.flat()), share: Math.max(...fits.map((f) => f.length)) / asked.size });
    }
    const within = (a, b) => a.size < b.size && [...a].every((t) => b.has(t));
    return found.filter((f) => !found.some((g) => within(f.words, g.words)));
  }

  function find(question, limit = 20) {
    const asked = new Set(terms(question.replace(ASKING, " ")));
    if (!asked.size) return [];
    const entries = meant(asked);
    const wanted = new Map([...asked].map((t) => [t, 1]));
    // the other names of what is meant, at a lower weight
    for (const { entry } of entries) for (const name of entry.names) for (const t of name) if (!wanted.has(t)) wanted.set(t, .3 / name.length);
    const n = data.pages.length;
    const score = new Float64Array(n), hit = Array.from({ length: n }, () => new Set());
    for (const [term, weight] of wanted) {
      const at = places(term);
      const there = data.pages.map((_, i) => at.has(i) || data.title[i].has(term));
      const rare = Math.log(1 + n / (.5 + there.filter(Boolean).length));
      for (let i = 0; i < n; i++) {
        if (!there[i]) continue;
        let s = FIELDS.text * (at.get(i) || 0) / 2;
        if (data.title[i].has(term)) s += FIELDS.title;
        if (data.promise[i].has(term)) s += FIELDS.promise;
        if (data.headings[i].some((h) => h.has(term))) s += FIELDS.heading;
        score[i] += weight * rare * s;
        if (weight === 1) hit[i].add(term);
      }
    }
    const best = Math.max(1, ...score);
    for (let i = 0; i < n; i++) {
      score[i] *= (hit[i].size / asked.size) ** 2;
      for (const { entry, share } of entries) if (entry.lesson === data.pages[i][0]) score[i] += 2 * share * best;
      score[i] *= WEIGHT[data.pages[i][1]] ?? .5;
    }
    const results = data.pages.map(([path, kind, title, promise, heads], i) => ({
      path, kind, title, text: promise, anchor: "", score: score[i],
      sections: heads.map((h, k) => [h, [...asked].filter((t) => data.headings[i][k].has(t)).length])
        .filter((x) => x[1] === Math.max(1, ...heads.map((_, k) => [...asked].filter((t) => data.headings[i][k].has(t)).length)))
        .slice(0, 3).map((x) => x[0]) }));
    const top = Math.max(1, ...score);
    for (const { entry: e, share } of entries)
      results.push({ path: "glossary", kind: "term", title: `${e.english} (${e.chinese})`, text: e.definition, anchor: "#" + e.anchor,
                     // where a lesson teaches it the lesson comes first
                     score: share * (e.lesson ? .9 : 1.6) * top,
                     sections: e.lesson ? data.pages.filter((p) => p[0] === e.lesson).map((p) => [p[2], "", e.lesson]) : [] });
    return results.filter((r) => r.score > 0).sort((a, b) => b.score - a.score || (a.title < b.title ? -1 : 1)).slice(0, limit);
  }

  return { terms, index, load, find };
})();

// --- the page search.html ---
if (typeof document !== "undefined") window.addEventListener("DOMContentLoaded", () => {
  const out = document.getElementById("search-results");
  const question = (new URLSearchParams(location.search).get("q") || "").trim();
  if (!out || !question) return;
  document.querySelectorAll('input[name="q"]').forEach((field) => { field.value = question; });
  const add = (parent, name, text, attributes = {}) => {
    const made = parent.appendChild(Object.assign(document.createElement(name), { textContent: text }));
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  const chinese = (text) => (/[\u3400-\u9fff]/.test(question) && /^[^A-Za-z]+$/.test(text) ? { lang: "zh" } : {});
  const KINDS = { start: "start page", lesson: "lesson", glossary: "glossary", term: "glossary", data: "data", table: "evidence", article: "the article",
                  teach: "for teachers", checks: "checks", workbench: "workbench", api: "reference" };
  const results = BookSearch.find(question);
  try { localStorage.setItem("sphinx_highlight_terms", (question.toLowerCase().match(/[\u3400-\u9fff]+|[a-z0-9-]{3,}/g) || []).join(" ")); } catch { /* not from this disk */ }
  add(out, "p", results.length ? `${results.length} pages and terms found, the best first` : "Nothing found. Try another word, in English or Chinese.",
      { class: "search-summary", role: "status" });
  const list = add(out, "ol", "", { class: "search" });
  for (const r of results) {
    const item = add(list, "li", "", { class: `kind-${r.kind}` });
    add(item, "a", r.title, { href: `${r.path}.html${r.anchor}`, ...chinese(r.title) });
    add(item, "small", ` ${KINDS[r.kind] || ""}`);
    if (r.text) add(item, "p", r.text);
    const more = r.sections.length ? add(item, "p", r.kind === "term" ? "taught in " : "", { class: "eb-sections" }) : null;
    r.sections.forEach(([text, anchor, page]) => add(more, "a", text, { href: `${page || r.path}.html${anchor ? "#" + anchor : ""}` }));
  }
});
