"""Each page goes through press/20_finish on its way from the template to the file."""
import hashlib
from pathlib import Path

from sphinx.jinja2glue import BuiltinTemplateLoader

from engagement_book.workbench.press import finish

HERE = Path(__file__).resolve().parent


class FinishedPages(BuiltinTemplateLoader):
    "Sphinx' own templates; a page of HTML is finished, anything else stays as it is."

    def render(self, template, context):
        page = super().render(template, context)
        if "<body" not in page:
            return page
        about = finish.described(context.get("body", ""))
        return finish.finished(page, finish.head(context.get("title", ""), about, context["pagename"],
                                                 context.get("docstitle", ""), finish.base_url()))


def set_up(app, config):
    config.template_bridge = "book_pages.FinishedPages"
    config.html_baseurl = finish.base_url()
    # what a page is finished with is part of it: another one, and Sphinx writes all pages again
    static = sorted((HERE.parent / "_static").glob("*.*"))
    files = [Path(finish.__file__), Path(__file__), HERE.parent / "conf.py", *static]
    config.finished_with = hashlib.sha256(b"".join(f.read_bytes() for f in files)).hexdigest()


def setup(app):
    app.add_config_value("finished_with", "", "html")
    app.connect("config-inited", set_up)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
