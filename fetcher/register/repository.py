"""Where a model's code is, and where its checkpoint: what people say of each, as sources."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fetcher.errors import UsageError
from fetcher.fs.home import expanded
from fetcher.fs.nearest import nearest
from fetcher.i18n import t
from fetcher.project.spellings import REPOSITORY_TYPES, known_as, repository_type
from fetcher.register import checkpoint
from fetcher.register.checkpoint import Checkpoint
from fetcher.register.values import short

UPLOAD, ON_SERVER, HUB_FILE = "Upload file", "Path on server", "Hugging Face file"
CHECKPOINT_SOURCES = (UPLOAD, ON_SERVER, HUB_FILE)
_SHORTER = {"upload": UPLOAD, "path": ON_SERVER, "huggingface": HUB_FILE, "local": ON_SERVER}


@dataclass
class Places:
    """What somebody said of a model's code and checkpoint; "" where they said nothing.

    `repository` is the code's, and the checkpoint's too where no `checkpoint` is named.
    """

    repository_type: str = ""
    repository: str = ""
    checkpoint_source: str = ""
    checkpoint: str = ""
    fetch_code: bool = False

    @property
    def kind(self) -> str:
        """The type of source of the repository, "" for any. Raises UsageError."""
        if not self.repository_type:
            return ""
        own = {"local": "Local / Custom", "custom": "Local / Custom"}
        shown = _one_of(self.repository_type, tuple(REPOSITORY_TYPES), own, t("Repository Type"))
        return REPOSITORY_TYPES[shown]

    @property
    def origin(self) -> str:
        """One of CHECKPOINT_SOURCES, or "". Raises UsageError."""
        if not self.checkpoint_source:
            return ""
        return _one_of(self.checkpoint_source, CHECKPOINT_SOURCES, _SHORTER, t("Checkpoint Source"))

    @property
    def hub_file(self) -> str:
        """The checkpoint as a source of the Hub, where it is a file of one. Raises UsageError.

        `owner/name/weights/x.ckpt` names both; a file alone is one of the repository.
        """
        text = self.checkpoint
        if text.startswith(("http://", "https://")):
            return text
        text = text.removeprefix("hf:")
        found = re.fullmatch(r"([\w.-]+/[\w.-]+?)(?:@([^\s:]+))?(?:[:/](.+))?", text)
        if found and found[3]:
            revision = f"@{found[2]}" if found[2] else ""
            return f"hf:{found[1]}{revision}:{found[3]}"
        if self.kind in {"", "huggingface"} and self.repository:
            repository = self.repository.removeprefix("hf:")
            repository = re.sub(r"https?://(www\.)?(huggingface\.co|hf\.co)/", "", repository)
            return f"hf:{repository.rstrip('/')}:{text}"
        if found:
            return f"hf:{text}"
        raise UsageError(
            t("{text} is a file of no repository of the Hub", text=short(text)),
            t("write owner/name/file, or its address"),
        )


def _one_of(text: str, names: tuple[str, ...], own: Mapping[str, str], label: str) -> str:
    found = known_as(text, names) or own.get(known_as(text, own) or "")
    if found is None:
        close = nearest(text, names)
        hint = t("did you mean {close!r}?", close=close) if close else ""
        raise UsageError(
            t(
                "{label}: found {text!r}, expected one of {names}",
                label=label,
                text=short(text),
                names=", ".join(names),
            ),
            hint,
        )
    return found


def code_of(places: Places, root: Path, hub: str = "") -> Checkpoint:
    """The repository; its `yaml` is what stands under `code`. Raises UsageError."""
    kind, text = places.kind, places.repository
    bare = re.fullmatch(r"[\w.-]+/[\w.-]+", text) is not None
    if kind == "local":
        found = checkpoint.of_path(expanded(text.removeprefix("local:")), root)
    elif kind == "github" and bare:
        found = checkpoint.of_text(f"github:{text}", root, hub)
    elif kind == "huggingface" and re.fullmatch(r"[\w.-]+(/[\w.-]+)?", text):
        found = checkpoint.of_text(f"hf:{text}", root, hub)
    else:
        found = checkpoint.of_text(text, root, hub)
    if kind and found.source.type != kind:
        raise UsageError(
            t(
                "{text} is no repository of the type {type}",
                text=short(text),
                type=repository_type(kind),
            ),
            t("correct one of the two"),
        )
    if found.source.type not in REPOSITORY_TYPES.values():
        raise UsageError(
            t("{text} is no repository", text=short(text)),
            t("name one on GitHub or the Hub, or a folder"),
        )
    return found
