"""Opening what `fetch import` is given: a file, or the address of a collection of the Hub."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from fetcher.config.settings import Settings
from fetcher.errors import Failure, UsageError
from fetcher.i18n import t
from fetcher.importers import documents, model_lists
from fetcher.importers.documents import Where
from fetcher.network.session import Network
from fetcher.register import changes
from fetcher.verify.contract.regular import read_regular


@dataclass(frozen=True)
class Opened:
    """A document: its kind, its text, its bare name, and its path from the project's root."""

    kind: str
    text: str
    name: str
    root: Path
    path: str
    inside: bool

    def where(self, base: str, folder: str) -> Where:
        """What its reader must know besides the text."""
        return Where(
            self.path,
            self.inside,
            self.root.absolute().name,
            base,
            folder,
            lambda path: changes.read_text(self.root, path),
        )


def opened(file: str, root: Path, settings: Settings) -> Opened:
    """Raises UsageError for what cannot be read, Failure for an address that does not answer."""
    if re.match(r"https?://", file):
        return _collection(file, root, settings)
    path = Path(file)
    try:
        data = read_regular(path, documents.LARGEST)
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(t("{path} is not UTF-8 text", path=file), t("save it as UTF-8")) from error
    except OSError as error:
        why = error.strerror or error
        raise UsageError(t("{path} cannot be read: {error}", path=file, error=why)) from error
    try:
        own = path.resolve().relative_to(root.resolve()).as_posix()
    except ValueError:
        own = ""
    return Opened(
        documents.kind_of(path.name, text), text, path.name, root, own or path.name, bool(own)
    )


def _collection(address: str, root: Path, settings: Settings) -> Opened:
    network = Network(settings)
    asked = model_lists.collection_api(address, network.hub)
    if not asked:
        raise UsageError(
            t("{address} is no collection of the Hub", address=address),
            t("save the script or page, and import that file"),
        )
    answer = network.request(asked)
    if answer.status != 200:
        raise Failure(
            "not-found", t("{url} is not there (HTTP {status})", url=asked, status=answer.status)
        )
    text = answer.body.decode("utf-8", "replace")
    name = re.sub(r"-[0-9a-f]{24}$", "", asked.rpartition("/")[2])
    return Opened(documents.kind_of("collection.json", text), text, name, root, "", False)
