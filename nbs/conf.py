"""Sphinx configuration of the site. The pages come from engagement_book.workbench.press.site; nothing here reaches the
network."""
import sys
from configparser import ConfigParser
from pathlib import Path

here = Path(__file__).parent
sys.path.insert(0, str(here / "_ext"))
# jsonschema would import it to validate IRIs: a second, and nothing here needs it
sys.modules.setdefault("rfc3987_syntax", None)
settings = ConfigParser(delimiters=["="])
settings.read(here.parent / "settings.ini", encoding="utf-8")

project = "engagement_book"
author = settings["DEFAULT"]["author"]
copyright = settings["DEFAULT"]["copyright"]
version = release = settings["DEFAULT"]["version"]
language = "en"
extensions = ["book_search", "book_pages", "myst_nb", "sphinx_copybutton", "sphinxcontrib.bibtex",
              "sphinx.ext.mathjax"]
nb_execution_mode = "off"
nb_merge_streams = True
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "deflist", "attrs_inline", "attrs_block"]
myst_heading_anchors = 3
bibtex_bibfiles = [str(here / "references.bib")]
bibtex_default_style = "plain"
bibtex_reference_style = "author_year"

html_theme = "sphinx_book_theme"
html_title = "AI and user engagement (用户参与度)"
templates_path = [str(here / "_sphinx")]
html_static_path = [str(here / "_static")]
html_css_files = ["book.css"]
html_use_index = False
html_additional_pages = {"search": "search.html"}
html_favicon = "_static/favicon.svg"
html_js_files = [("filter.js", {"defer": "defer"}), ("page.js", {"defer": "defer"})]
html_copy_source = True
html_show_sourcelink = True
html_theme_options = {"use_download_button": True, "use_fullscreen_button": True, "home_page_in_toc": True,
                      "show_navbar_depth": 1, "collapse_navbar": True, "navbar_persistent": [],
                      "toc_title": "On this page"}
mathjax_path = "vendor/mathjax-3.2.2-tex-svg.js"
mathjax3_config = {"options": {"processHtmlClass": "tex2jax_process|mathjax_process|math|output_area",
                               "enableMenu": False}}
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True
exclude_patterns = ["_build"]
