"""Files and folders that are shared on Google Drive, without an account.

A large file is announced by a page that warns of viruses; its form has the address of the bytes. A
file that too many have asked for lately is refused by a page as well. Sizes and digests are not
told beforehand.
"""

from __future__ import annotations

import html
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import parse_qs, urlencode, urlsplit

from fetcher.errors import Failure
from fetcher.fs.patterns import literal_names
from fetcher.fs.safe_paths import printable
from fetcher.i18n import t
from fetcher.network.disposition import safe_name, server_name
from fetcher.network.session import Network, Response
from fetcher.sources.base import (
    Candidate,
    DeferredCandidate,
    FileEntry,
    Request,
    Resolved,
    Source,
    UrlCandidate,
    asked,
    browser_candidate,
    choose,
    from_top,
)
from fetcher.sources.pages import Pages
from fetcher.yamldoc.schema import Field, Text

if TYPE_CHECKING:
    from fetcher.yamldoc.nodes import Document, Node
    from fetcher.yamldoc.schema import Values

_ID = r"[A-Za-z0-9_-]{10,100}"
_FILE_HOSTS = {"drive.google.com", "docs.google.com", "drive.usercontent.google.com"}
_DOWNLOAD = "https://drive.usercontent.google.com/download"
_LIST = "https://drive.google.com/embeddedfolderview"
_UNNAMED = "download"
_MAX_DEPTH = 32

_FORM = re.compile(r"<form\b[^>]*\bid=\"download-form\"[^>]*>", re.I)
_INPUT = re.compile(r"<input\b[^>]*>", re.I)
_ATTRIBUTE = re.compile(r"(?<![\w-])([\w-]+)=\"([^\"]*)\"")
_SHOWN_NAME = re.compile(r"class=\"uc-name-size\"[^>]*>\s*<a\b[^>]*>([^<]+)</a>", re.I)
_QUOTA = re.compile(r"quota exceeded|too many users have viewed or downloaded", re.I)
_ENTRY = re.compile(
    r"class=\"flip-entry\".*?<a\b[^>]*\bhref=\"([^\"]+)\".*?class=\"flip-entry-title\"[^>]*>"
    r"([^<]*)<",
    re.S,
)


@dataclass(frozen=True)
class GDrive(Source):
    """`gdrive:ID` of a file, or `gdrive:folder/ID` of a folder; share links are understood."""

    id: str = ""
    folder: str = ""
    key: str = ""

    type: ClassVar[str] = "gdrive"
    lists: ClassVar[bool] = False
    fields: ClassVar[dict[str, Field]] = {
        "id": Field(Text(_ID, t("the id of a file on Google Drive")), t("a shared file's id")),
        "folder": Field(Text(_ID, t("the id of a folder on Google Drive")), t("a folder's id")),
        "key": Field(Text(r"[\w-]{1,100}", t("a resource key")), t("resourcekey of an old link")),
    }

    @classmethod
    def check_fields(cls, node: Node, values: Values, document: Document) -> bool:
        """Either a file or a folder."""
        if ("id" in values) == ("folder" in values):
            document.problem(node, t("a source of type gdrive needs either 'id' or 'folder'"))
            return False
        return True

    @classmethod
    def from_short(cls, text: str) -> dict[str, str]:
        """An id, `folder/` and an id, or a share link."""
        if text.startswith("https://"):
            found = cls.from_address(text)
        else:
            kind, _, rest = text.rpartition("/")
            sound = kind in {"", "folder"} and re.fullmatch(_ID, rest)
            found = {"folder" if kind else "id": rest} if sound else None
        if found is None:
            raise ValueError(t("expected gdrive:ID, gdrive:folder/ID, or a share link"))
        return found

    @classmethod
    def from_address(cls, url: str) -> dict[str, str] | None:
        """The fields of a share link, None for an address that is none."""
        parts = urlsplit(url)
        if parts.hostname not in _FILE_HOSTS:
            return None
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        path = re.match(
            rf"/(?:u/\d+/|a/[\w.]+/)?(?:drive/(?:u/\d+/)?)?(file/d|folders)/({_ID})", parts.path
        )
        if path:
            found = {"id" if path[1] == "file/d" else "folder": path[2]}
        elif parts.path in {"/uc", "/open", "/download"} and re.fullmatch(_ID, query.get("id", "")):
            found = {"id": query["id"]}
        elif parts.path == "/embeddedfolderview" and re.fullmatch(_ID, query.get("id", "")):
            found = {"folder": query["id"]}
        else:
            return None
        key = query.get("resourcekey", "")
        return {**found, "key": key} if re.fullmatch(r"[\w-]{1,100}", key) else found

    def describe(self) -> str:
        """The short form."""
        return f"gdrive:{self.id}" if self.id else f"gdrive:folder/{self.folder}"

    def admits(self, revision: str) -> bool:
        """There are no revisions."""
        return not revision

    def page(self, network: Network) -> str:
        """The share link."""
        key = f"?resourcekey={self.key}" if self.key else ""
        if self.folder:
            return f"https://drive.google.com/drive/folders/{self.folder}{key}"
        return f"https://drive.google.com/file/d/{self.id}/view{key}"

    def resolve(self, request: Request, network: Network) -> Resolved:
        """A folder's files, page by page; of one file its name, as far as Drive tells."""
        if self.folder:
            ids = self._listed(network)
            entries = {path: FileEntry(path) for path in ids}
            files = choose(entries, request, self.describe())
            return Resolved("", files, said_by=asked(_LIST))
        names = literal_names(request.files, request.exclude)
        if names and len(names) > 1:
            raise Failure("missing-upstream", t("{source} is one file", source=self.describe()))
        name = names[0] if names else self._name(network)
        return Resolved("", choose({name: FileEntry(name)}, request, self.describe()))

    def _name(self, network: Network) -> str:
        """What the file is called there; nothing depends on an answer."""
        try:
            answer = self._ask(self.id, network, brief=True)
        except Failure:
            return _UNNAMED
        shown = _SHOWN_NAME.search(_page_of(answer))
        if shown:
            return safe_name(html.unescape(shown[1])) or _UNNAMED
        return (answer.status in {200, 206} and server_name(answer.headers, "")) or _UNNAMED

    def _ask(self, file_id: str, network: Network, brief: bool = False) -> Response:
        """What Drive says of a file: its first byte, or a page. Raises Failure."""
        answer = network.request(
            self._address(file_id),
            headers=[("Range", "bytes=0-0"), ("Accept-Encoding", "identity")],
            patience=5 if brief else None,
        )
        return answer

    def _address(self, file_id: str, more: tuple[tuple[str, str], ...] = ()) -> str:
        key = (("resourcekey", self.key),) if self.key else ()
        query = dict((("id", file_id), ("export", "download"), *key, *more))
        return f"{_DOWNLOAD}?{urlencode(query)}"

    # Folders

    def _listed(self, network: Network) -> dict[str, str]:
        """The ids of a folder's files by their paths; read once in a run. Raises Failure."""
        return network.once(self.describe(), lambda: self._list(network), links=True)

    def _list(self, network: Network) -> dict[str, str]:
        found: dict[str, str] = {}
        pages = Pages(self.describe())
        waiting, seen = [("", self.folder)], {self.folder}
        while waiting:
            folder, folder_id = waiting.pop()
            for name, kind, item in self._entries(folder_id, network, pages):
                path = (
                    from_top(folder, name)
                    if folder.rpartition("/")[2] != name
                    else (f"{folder}/{name}")
                )
                if kind == "folder" and item not in seen and folder.count("/") < _MAX_DEPTH:
                    seen.add(item)
                    waiting.append((path, item))
                elif kind == "file" and found.setdefault(path, item) != item:
                    text = t(
                        "{source} has two files called {path}",
                        source=self.describe(),
                        path=printable(path),
                    )
                    raise Failure("refused", text, t("name each of them by its own id"))
        return found

    def _entries(
        self, folder_id: str, network: Network, pages: Pages
    ) -> list[tuple[str, str, str]]:
        """(name, file or folder, id) of what lies in one folder. Raises Failure."""
        key = f"&resourcekey={self.key}" if self.key else ""
        answer = network.request(f"{_LIST}?id={folder_id}{key}")
        if answer.status != 200:
            raise self._refusal(answer.status)
        text = answer.body.decode("utf-8", "replace")
        if "flip-" not in text:
            raise self._refusal(403)
        found = []
        for href, title in _ENTRY.findall(text):
            target = self.from_address(html.unescape(href)) or {}
            name = html.unescape(title).strip()
            if "id" in target:
                found.append((name, "file", target["id"]))
            elif "folder" in target:
                found.append((name, "folder", target["folder"]))
        pages.add(len(found))
        return found

    def _refusal(self, status: int) -> Failure:
        page = (
            self.page_of(self.id)
            if self.id
            else (f"https://drive.google.com/drive/folders/{self.folder}")
        )
        if status == 404:
            return Failure(
                "not-found",
                t("{source} is not there, or not shared", source=self.describe()),
                t("open {page} in a browser", page=page),
            )
        return Failure(
            "auth",
            t("{source}: Google Drive wants an account for it", source=self.describe()),
            t("open {page}: its owner must share it with everyone who has the link", page=page),
        )

    @staticmethod
    def page_of(file_id: str) -> str:
        """The page of a file, for a browser."""
        return f"https://drive.google.com/file/d/{file_id}/view"

    # Bytes

    def candidates(self, revision: str, file: FileEntry, network: Network) -> list[Candidate]:
        """The file's address, once Drive has been asked which it is."""
        return [DeferredCandidate(self.type, lambda net: self._prepared(file, net))]

    def _prepared(self, file: FileEntry, network: Network) -> UrlCandidate:
        """The address of the bytes. Raises Failure: the quota, an account that is needed."""
        file_id = self.id
        if self.folder:
            listed = self._listed(network)
            if file.path not in listed:
                text = t("{source} has no {path}", source=self.describe(), path=file.path)
                raise Failure("missing-upstream", text)
            file_id = listed[file.path]
        page_url = self.page_of(file_id)
        hint = browser_candidate(self.type, page_url, file.path).manual_hint
        try:
            answer = self._ask(file_id, network)
        except Failure as failure:
            if failure.problem.code != "refused":
                raise
            return self._of(self._address(file_id, (("confirm", "t"),)), hint)
        page = _page_of(answer)
        if _QUOTA.search(page):
            text = t(
                "{source}: too many have downloaded it lately, and its quota on Google Drive is "
                "used up",
                source=self.describe(),
            )
            advice = t(
                "try again in a day; or open {page} in a browser with an account of yours, make a "
                "copy there, download it, then: fetch adopt DOWNLOADED_FILE --as ARTIFACT/{path}",
                page=page_url,
                path=shlex.quote(file.path),
            )
            raise Failure("quota", text, advice)
        if answer.status >= 400 and not page:
            raise self._refusal(answer.status)
        if not page:
            return self._of(self._address(file_id), hint)
        if fields := _form_of(page):
            known = {"id", "export", "resourcekey"}
            more = tuple((k, v) for k, v in fields.items() if k not in known)
            return self._of(self._address(file_id, more), hint)
        if answer.status in {200, 401, 403} or answer.url.startswith("https://accounts."):
            raise self._refusal(403)
        raise self._refusal(answer.status)

    def _of(self, url: str, hint: str) -> UrlCandidate:
        return UrlCandidate(self.type, url, cookies=True, manual_hint=hint)

    def check_access(self, network: Network) -> bool:
        """Ask for the folder's list, or what the file's address answers. Raises Failure."""
        if self.folder:
            self._listed(network)
        else:
            self._prepared(FileEntry(_UNNAMED), network)
        return True


def _page_of(answer: Response) -> str:
    """An answer's text if it is a web page, else ""."""
    if not answer.headers.get("content-type", "").lower().startswith("text/html"):
        return ""
    if "content-disposition" in answer.headers:  # a file that is a page
        return ""
    return answer.body[: 1 << 20].decode("utf-8", "replace") or " "


def _form_of(page: str) -> dict[str, str]:
    """What the form of the page that warns of viruses would send."""
    form = _FORM.search(page)
    if not form:
        return {}
    end = page.find("</form", form.end())
    found = {}
    for tag in _INPUT.findall(page[form.end() : end if end > 0 else len(page)]):
        attributes = dict(_ATTRIBUTE.findall(tag))
        if "name" in attributes:
            found[attributes["name"]] = html.unescape(attributes.get("value", ""))
    return found
