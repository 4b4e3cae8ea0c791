"""Sphinx's settings. Everything that a page needs is in the site: no fonts or scripts of others."""

project = "fetch"
author = "the authors of fetch"
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
root_doc = "index"
html_theme = "furo"
html_title = "fetch"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_extra_path = ["_extra"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
# A summary of each hit is read by a request, which browsers refuse to a page opened as a file.
html_show_search_summary = False
html_theme_options = {"navigation_with_keys": True}
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"
smartquotes = False
myst_heading_anchors = 4
# Shell blocks with placeholders, and console blocks cut short, are no complete programs.
suppress_warnings = ["misc.highlighting_failure", "myst.header"]
