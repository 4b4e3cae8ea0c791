"""What a document of a project seems to be, by its name alone."""

from __future__ import annotations

import re
from enum import IntEnum

README = re.compile(r"readme([._-][\w-]+)?(\.(md|markdown|rst|txt))?", re.IGNORECASE)
_THINGS = (
    r"(models?|weights?|checkpoints?|ckpts?|pre-?trained|data|datasets?|assets|files|all|demo)"
)
_SCRIPT = re.compile(
    rf"(download|fetch|get|pull|prepare|setup)\w*(-{_THINGS}\w*)?\.(sh|bash|py)"
    rf"|{_THINGS}[_-]?(download\w*|fetch|setup)\.(sh|bash|py)",
    re.IGNORECASE,
)
_PLAIN_SCRIPT = re.compile(r"(setup|get|pull|prepare)\.py|setup\.sh", re.IGNORECASE)
_PAGE = re.compile(
    r".*(install|setup|get.?started|quick.?start|download|models?|zoo|weights|checkpoint|data|"
    r"prepare|usage|train|inference|demo).*\.(md|rst|ipynb)|.*colab.*\.ipynb",
    re.IGNORECASE,
)
_LIST = re.compile(
    rf"(.*[_-])?({_THINGS}|urls?|links?|registry|requirements)([_-](models?|weights|list|urls?|data))?"
    r"\.(txt|list|lst|json)|.*\.dvc|dvc\.ya?ml|model_config\.ya?ml",
    re.IGNORECASE,
)


class Kind(IntEnum):
    """What a document is, by its name; in this order they are read."""

    SCRIPT = 0
    LIST = 1
    README = 2
    PAGE = 3


def kind_of_name(path: str) -> Kind | None:
    """What a path within a project seems to be, None for no document."""
    folder, _, name = path.rpartition("/")
    if _SCRIPT.fullmatch(name) and not _PLAIN_SCRIPT.fullmatch(name):
        return Kind.SCRIPT
    if _LIST.fullmatch(name):
        return Kind.LIST
    if README.fullmatch(name):
        return Kind.README if not folder else Kind.PAGE
    in_docs = folder.partition("/")[0].lower() in {"docs", "doc", "documentation"}
    pages = in_docs and name.endswith((".md", ".rst", ".ipynb"))
    return Kind.PAGE if pages or _PAGE.fullmatch(name) else None
