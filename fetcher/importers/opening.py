"""Opening what `fetch import` is given: a file, a page's address, a collection of the Hub."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from fetcher.config.settings import Settings
from fetcher.errors import Failure, UsageError
from fetcher.i18n import join, t
from fetcher.importers import documents, model_lists
from fetcher.importers.addresses import HUB_HOSTS
from fetcher.importers.documents import Where
from fetcher.network.session import Network
from fetcher.register import changes
from fetcher.verify.contract.regular import read_regular

# What a repository's page shows below its files.
READMES = ("README.md", "readme.md", "README.rst", "README")


@dataclass(frozen=True)
class Opened:
    """A document: its kind, its text, its bare name, and its path from the project's root."""

    kind: str
    text: str
    name: str
    root: Path
    path: str
    inside: bool
    address: str = ""  # of a page that was asked for

    def where(self, base: str, folder: str, beside: Iterable[str] = ()) -> Where:
        """What its reader must know besides the text; `beside` are documents that are read too."""
        return Where(
            self.path,
            self.inside,
            self.root.absolute().name,
            base or self.address,
            folder,
            self._sibling,
            beside=frozenset(beside),
        )

    def has_folder(self, path: str) -> bool:
        """Whether the project has a folder."""
        return (self.root / path).is_dir()

    def _sibling(self, path: str) -> str:
        """A text of the project, "" for what cannot be read."""
        try:
            return changes.read_text(self.root, path, documents.LARGEST)
        except (UsageError, Failure, OSError):
            return ""


def opened(file: str, root: Path, settings: Settings) -> Opened:
    """Raises UsageError for what cannot be read, Failure for an address that does not answer."""
    if re.match(r"https?://", file):
        return _from_web(file, root, settings)
    path = Path(file)
    try:
        data = read_regular(path, documents.LARGEST)
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(t("{path} is not UTF-8 text", path=file), t("save it as UTF-8")) from error
    except OSError as error:
        why = error.strerror or error
        raise UsageError(
            t("{path} cannot be read: {error}", path=file, error=why),
            t("name a file that can be read"),
        ) from error
    try:
        own = path.resolve().relative_to(root.resolve()).as_posix()
    except ValueError:
        own = ""
    return Opened(
        documents.kind_of(path.name, text), text, path.name, root, own or path.name, bool(own)
    )


def _from_web(address: str, root: Path, settings: Settings) -> Opened:
    network = Network(settings)
    collection = model_lists.collection_api(address, network.hub)
    for asked in [collection] if collection else text_addresses(address, network.hub):
        answer = network.request(asked)
        if answer.status == 200:
            break
    else:
        raise Failure(
            "not-found",
            t("{url} is not there (HTTP {status})", url=asked, status=answer.status),
            t("open it in a browser: is the address right?"),
        )
    if len(answer.body) > documents.LARGEST:
        raise UsageError(
            t("{url} is too large to be a page", url=asked), t("name a page or a script")
        )
    text = answer.body.decode("utf-8", "replace").lstrip("\ufeff")
    if collection:
        name = re.sub(r"-[0-9a-f]{24}$", "", asked.rpartition("/")[2])
        return Opened(documents.kind_of("collection.json", text), text, name, root, "", False)
    name = unquote(urlsplit(asked).path.rpartition("/")[2]) or urlsplit(asked).hostname or "page"
    if "html" in answer.headers.get("content-type", "") or re.match(
        r"\s*<(!doctype|html)", text, re.I
    ):
        name = f"{name}.html" if not name.endswith((".html", ".htm")) else name
    return Opened(documents.kind_of(name, text), text, name, root, name, False, asked)


def with_name(error: UsageError, name: str) -> UsageError:
    """What a person is told of a document that they named: its readers know no name."""
    if name in error.message:
        return error
    return UsageError(join((name, error.message), ": "), error.hint)


def text_addresses(address: str, hub: str) -> list[str]:
    """Where the text of a page is, the likeliest first: of a repository's page its README."""
    parts = urlsplit(address)
    segments = [part for part in parts.path.split("/") if part]
    host = (parts.hostname or "").lower()
    if host in {"github.com", "www.github.com"} and len(segments) >= 2:
        raw = f"https://raw.githubusercontent.com/{segments[0]}/{segments[1].removesuffix('.git')}"
        if segments[2:3] in (["blob"], ["raw"]) and len(segments) > 4:
            return [f"{raw}/{'/'.join(segments[3:])}"]
        if len(segments) == 2 or segments[2:3] == ["tree"]:
            folder = "/".join(segments[3:]) if len(segments) > 3 else "HEAD"
            return [f"{raw}/{folder}/{name}" for name in READMES]
    if host in HUB_HOSTS or address.startswith(f"{hub}/"):
        kind = 1 if segments[:1] in (["datasets"], ["spaces"]) else 0
        repo = "/".join(segments[: 2 + kind])
        if segments[2 + kind :][:1] in (["blob"], ["resolve"], ["raw"]):
            return [f"{hub}/{repo}/raw/{'/'.join(segments[3 + kind :])}"]
        if len(segments) == 2 + kind or segments[2 + kind :] == ["tree", "main"]:
            return [f"{hub}/{repo}/raw/main/README.md"]
    return [address]
