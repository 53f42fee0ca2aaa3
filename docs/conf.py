"""Settings of the documentation site; CONTRIBUTING.md says how to build it.

The source folder is the repository's root, so that the pages' relative links, which also
work in the repository's own viewer, can lead to the examples and to CONTRIBUTING.md.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.util.logging import getLogger
from sphinx.util.nodes import make_refnode

import gilx

sys.path.insert(0, str(Path(__file__).parents[1]))
from atlas.page import table
from atlas.results import RESULTS, newest, results
from tests.unit.interface import MODULES

if TYPE_CHECKING:
    from docutils.nodes import Element
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

project = "gilx"
author = copyright = "The gilx developers"  # noqa: A001 - Sphinx's name
release = version = gilx.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "numpydoc", "sphinxarg.ext"]
root_doc = "docs/index"
include_patterns = ["docs/**", "*.md", "benchmarks/README.md", "examples/**.md"]
# The two other indexes are those of the repository's viewer.
exclude_patterns = ["README.md", "docs/README.md", "docs/_*"]
myst_heading_anchors = 3

default_role = "py:obj"
highlight_language = "text"
# The compiled modules have the docstrings, their stubs do not.
os.environ["SPHINX_AUTODOC_IGNORE_NATIVE_MODULE_TYPE_STUBS"] = "1"
autodoc_default_options = {"members": True}
autodoc_member_order = "bysource"
toc_object_entries_show_parents = "hide"
# Types stand with the arguments, in words.
autodoc_typehints = "none"
numpydoc_show_class_members = False

html_theme = "furo"
html_title = f"gilx {release}"
html_additional_pages = {"index": "redirect.html"}
templates_path = ["_templates"]
html_copy_source = False
html_static_path = ["_static"]

_LOGGER = getLogger(__name__)


def resolve(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: Element
) -> Element | None:
    """Link the names that docstrings give without their module.

    Names in single backticks that are neither classes nor start with ``gilx.`` may be
    arguments or another package's: they stay code.
    """
    if node["refdomain"] != "py":
        return None
    target = node["reftarget"].removesuffix("()")
    if target.split(".")[0][0].isupper():
        matches = env.domains.python_domain.find_obj(env, "", "", target, None, 1)
        if len(matches) == 1:
            name, entry = matches[0]
            return make_refnode(
                app.builder, node["refdoc"], entry.docname, entry.node_id, content, name
            )
    return content if node["reftype"] == "obj" and "gilx." not in target else None


def check_public_names(_app: Sphinx, env: BuildEnvironment) -> None:
    """Warn of public names that are not on a page."""
    objects = env.domains.python_domain.objects
    for name in MODULES:
        module = importlib.import_module(name)
        names = getattr(module, "__all__", None) or [
            each for each in vars(module) if each[0] != "_"
        ]
        for each in names:
            # Errors are listed where they are defined.
            home = getattr(getattr(module, each), "__module__", name)
            if not objects.keys() & {f"{name}.{each}", f"{home}.{each}"}:
                _LOGGER.warning("%s.%s is not on a page of docs/api", name, each)


class AtlasTable(Directive):  # type: ignore[misc] # docutils has no types here
    """The table of the atlas, made from its results."""

    def run(self) -> list[nodes.Node]:
        """Return the table as a node of HTML."""
        for path in RESULTS.glob("*/*.json"):
            self.state.document.settings.env.note_dependency(str(path))
        return [nodes.raw("", table(newest(results())), format="html")]


def add_files(app: Sphinx, page: str, *_: object) -> None:
    """Let the page of the atlas, and no other, load its style and its script."""
    if page == "docs/atlas":
        app.add_css_file("atlas.css")
        app.add_js_file("atlas.js")


def setup(app: Sphinx) -> None:
    """Connect what Sphinx calls."""
    app.add_directive("atlas-table", AtlasTable)
    app.connect("html-page-context", add_files)
    app.connect("missing-reference", resolve)
    app.connect("env-check-consistency", check_public_names)
