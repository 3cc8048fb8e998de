"""Settings of the book; `tools/book.py` puts this folder and the pages together and builds them."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # book_extension.py

from ponita_edu import __version__

project = "ponita_edu"
author = "The ponita_edu authors"
copyright = "the ponita_edu authors; text CC BY 4.0, code MIT"
release = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode", "book_extension"]
viewcode_follow_imported_members = False

nb_execution_mode = "off"
nb_merge_streams = True
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
html_math_renderer = "mathml"

autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_use_type_comments = False  # there are none, and looking for them takes time
autodoc_typehints_format = "short"
napoleon_use_param = napoleon_use_rtype = False
python_maximum_signature_line_length = 90
add_module_names = False

html_theme = "furo"
html_title = "ponita_edu"
html_static_path = ["_static"]
html_favicon = "_static/icon.svg"
html_css_files = ["book.css"]
html_js_files = ["book.js"]
html_copy_source = False
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"
