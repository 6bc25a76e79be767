"""The documentation: MyST pages, furo, and nothing that is fetched from elsewhere, neither now nor by a reader."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT), str(HERE / "_ext")]  # this tree, whatever is installed

from everygrad.version import __version__  # noqa: E402 (found on the path above)

project = "everygrad"
author = "The everygrad authors"
project_copyright = author
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "computed", "docstrings", "mathml"]
exclude_patterns = ["_ext", "_static"]
default_role = "py:obj"  # `name` in a docstring: a link where there is one, else the name as code

myst_enable_extensions = ["deflist", "dollarmath"]
myst_heading_anchors = 3

# Docstrings are plain text with formulas; what takes a page of its own is listed there by hand.
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
add_module_names = False
toc_object_entries_show_parents = "hide"

html_theme = "furo"
pygments_dark_style = "a11y-high-contrast-dark"
html_title = f"everygrad {version}"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_last_updated_fmt = None
