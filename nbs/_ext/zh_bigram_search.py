"""Search in Chinese and English without a word segmenter: Han characters are indexed one by one and in pairs,
a query is split into pairs.

It replaces Sphinx 9.0's own `zh` search, whose every query hangs ("ChineseStemmer is not defined", sphinx issue 14229).
"""
import re

from sphinx.search import SearchLanguage

HAN = "\u3400-\u9fff"
RUN = re.compile(f"[{HAN}]+|[A-Za-z0-9_]+")


class ZhBigram(SearchLanguage):
    lang = "zh"
    language_name = "Chinese"
    js_splitter_code = r"""
function splitQuery(query) {
  const out = [];
  const run_of = /[\u3400-\u9fff]+|[\p{Letter}\p{Number}_]+?(?=[\u3400-\u9fff]|[^\p{Letter}\p{Number}_]|$)/gu;
  for (const run of query.match(run_of) || []) {
    if (!/^[\u3400-\u9fff]/.test(run) || run.length === 1) { out.push(run); continue; }
    for (let i = 0; i + 1 < run.length; i++) out.push(run.slice(i, i + 2));
  }
  return [...new Set(out)];
}
"""

    def split(self, text):
        out = []
        for run in RUN.findall(text):
            if re.match(f"[{HAN}]", run):
                out += [*run, *(run[i:i + 2] for i in range(len(run) - 1))]
            else:
                out.append(run)
        return out

    def stem(self, word):
        return word.lower()

    def word_filter(self, word):
        return bool(word) and not word.isdigit()


def setup(app):
    app.add_search_language(ZhBigram)
    return {"parallel_read_safe": True}
