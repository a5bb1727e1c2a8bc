"""The book has a search of its own (press/15_search): Sphinx' is switched off, and search.html alone loads an index."""
import re

LOADS = re.compile(r'\s*<script[^>]*src="[^"]*(?:searchtools|language_data|searchindex)\.js[^"]*"[^>]*></script>')


def without_sphinx_search(html):
    "The head of a page without the scripts of Sphinx' search, which the theme asks for on each page."
    return LOADS.sub("", str(html))


def switch_off(app):
    app.builder.search = False
    if getattr(app.builder, "templates", None) is not None:
        app.builder.templates.environment.filters["without_sphinx_search"] = without_sphinx_search


def page_template(app, pagename, templatename, context, doctree):
    return "book_page.html" if templatename == "page.html" else None


def setup(app):
    app.connect("builder-inited", switch_off)
    app.connect("html-page-context", page_template)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
