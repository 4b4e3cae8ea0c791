"""Chat templates, which are Jinja: read, never run. Syntax of Python 3.8."""

from __future__ import annotations

import importlib.util
import re

# A block of transformers' own, which other readers leave out.
_OWN_BLOCK = re.compile(r"{%[-+]?\s*(end)?generation\b")


def syntax_error(template: str) -> str:
    """Return in words why a template cannot be read; '' if it can, or if jinja2 is not there."""
    if importlib.util.find_spec("jinja2") is None or _OWN_BLOCK.search(template):
        return ""
    import jinja2

    try:
        jinja2.Environment(extensions=["jinja2.ext.loopcontrols"]).parse(template)
    except jinja2.TemplateSyntaxError as error:
        return f"line {error.lineno}: {error.message}"
    except RecursionError:
        return "it is nested too deep"
    return ""
