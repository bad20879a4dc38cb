"""The documentation's site: `make docs` builds it into build/docs, and no host is contacted.

Sources are docs/ as it stands, the examples, which are executed, and the docstrings.
"""

import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE / "extensions"), str(ROOT / "src")]

from unfog.version import __version__  # noqa: E402

project, author, release = "unfog", "the unfog authors", __version__
copyright = "the unfog authors, Apache 2.0"
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_gallery.gen_gallery",
    "mathml",
    "plain_docstrings",
    "reference_pages",
    "source_links",
]
exclude_patterns = ["site"]
suppress_warnings = ["config.cache"]

myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "deflist"]
myst_heading_anchors = 3
html_math_renderer = "mathml"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_inherit_docstrings = False
add_module_names = False
highlight_language = "none"  # formulas in docstrings; pages name their languages
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False

sphinx_gallery_conf = {
    "examples_dirs": [str(ROOT / "examples" / "claims"), str(ROOT / "examples" / "learn")],
    "gallery_dirs": ["examples/claims", "examples/learn"],
    "filename_pattern": r"\.py$",
    "abort_on_example_error": True,
    "min_reported_time": 5,
    "show_memory": False,
    "download_all_examples": False,
    "show_signature": False,
    "image_srcset": [],
    "within_subsection_order": "FileNameSortKey",
    "remove_config_comments": True,
}

html_theme = "furo"
html_title = f"unfog {release}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}
