"""The site: `make docs`.

Its source is the repository, so that links between pages hold on a code host too.
"""

import sys
from pathlib import Path

_DOCS = Path(__file__).parent
sys.path[:0] = [str(_DOCS / "_ext"), str(_DOCS.parent / "workflow")]

from tutorials import BUILD, code_digest, prepare  # noqa: E402

from bcnmf import __version__  # noqa: E402

project = "bcNMF"
author = "The bcNMF pipeline developers"
version = release = __version__

root_doc = "docs/index"
include_patterns = [
    *("docs/*.md", "docs/tutorials/*.md", "*.md", "config/README.md", "config/gene_sets/README.md"),
    *("results/README.md", "resources/README.md", "workflow/bcnmf/README.md"),
]
exclude_patterns = [
    "docs/_build",
    ".venv*",
    ".cache",
    ".snakemake",
    "tests",
    "logs",
    "results/*/*",
    "resources/*/*",
]
extensions = [
    *("myst_nb", "numpydoc", "sphinx_argparse_cli", "sphinx.ext.autodoc"),
    *("contents", "settings", "tutorials"),
]
nitpicky = True
# `name` in docstrings is code.
default_role = "code"
# Quotes around values stay those that are typed.
smartquotes = False
toc_object_entries_show_parents = "hide"

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4

# Cells run again when they, or the code, are others. An error in one is a warning: with -W an end.
prepare()
nb_execution_mode = "cache"
nb_execution_cache_path = str(BUILD / "executed" / code_digest())
nb_execution_in_temp = True
nb_execution_show_tb = True
# Seconds a cell: a guard against hanging.
nb_execution_timeout = 3600
nb_merge_streams = True

# What numpydoc writes says types already, with shapes.
autodoc_typehints = "none"
autodoc_member_order = "groupwise"
numpydoc_show_class_members = False

html_theme = "furo"
html_title = "bcNMF"
html_additional_pages = {"index": "forward.html"}
html_copy_source = False
templates_path = ["_templates"]
html_static_path = ["_static"]
html_css_files = ["tutorials.css"]
html_js_files = [("access.js", {"defer": "defer"})]
