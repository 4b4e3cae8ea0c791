"""What people paste: a Hub or GitHub page, or a source's short form."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from fetcher.i18n import t
from fetcher.sources import kind_of_short, made_of_texts, source_type
from fetcher.sources.base import Source
from fetcher.sources.github import GitHub
from fetcher.sources.hf_bucket import PREFIX, HubBucket
from fetcher.sources.huggingface import REPO, HuggingFace
from fetcher.yamldoc.nodes import Document, Node

_HUB_HOSTS = {"huggingface.co", "www.huggingface.co", "hf.co"}
_GITHUB_HOSTS = {"github.com", "www.github.com"}
_RAW_HOST = "raw.githubusercontent.com"
_ONE_FILE = {"blob", "resolve", "raw"}
_SHORT: dict[str, type[Source]] = {
    "hf": HuggingFace,
    "huggingface": HuggingFace,
    "gh": GitHub,
    "github": GitHub,
}
_NO_OWNER = {"api", "docs", "models", "spaces", "datasets", "settings", "join", "login", "blog"}


def source_of(text: str, hub: str = "") -> Source | None:
    """The repository that a page's address or a short form leads to, None if it is neither.

    `hub` is the address of another Hub, whose pages count as well. Raises ValueError for a short
    form that is wrong, and for a page of these hosts that shows no repository.
    """
    text = text.strip()
    if text.startswith(("http://", "https://")):
        return _of_page(text, hub)
    prefix, colon, rest = text.partition(":")
    if colon and prefix in _SHORT:
        kind = HubBucket if kind_of_short(prefix, rest) == HubBucket.type else _SHORT[prefix]
        return _made(kind, kind.from_short(rest))
    return None


def written_out(text: str, hub: str = "") -> tuple[type[Source], dict[str, str]] | None:
    """The source of an address that stands for one in a manifest: its class, and its fields.

    A file's address means that file alone. None for an address that is no more than a URL. Raises
    ValueError for a page that shows neither files nor a repository.
    """
    if (shared := _shared(text)) is not None:
        return shared
    site, segments = _site(text, hub)
    if not site:
        return _cloned(text)
    found = _of_hub(segments, True) if site == "hub" else _of_github(segments, True)
    if found is None:
        raise ValueError(t("is a web page, and not that of a repository"))
    kind, texts = found
    return kind, {name: value for name, value in texts.items() if value}


def _cloned(text: str) -> tuple[type[Source], dict[str, str]] | None:
    """A repository by the address that git clones it from."""
    if not text.endswith(".git"):
        return None
    kind = source_type("git")
    texts = kind.from_address(text) if kind is not None else None
    return None if kind is None or texts is None else (kind, texts)


# Who knows the share links of a host, which may be one of its subdomains.
_LINKS = {
    "drive.google.com": "gdrive",
    "docs.google.com": "gdrive",
    "drive.usercontent.google.com": "gdrive",
    "zenodo.org": "zenodo",
    "doi.org": "doi",
    "figshare.com": "doi",
    "dataverse.harvard.edu": "doi",
    "modelscope.cn": "modelscope",
    "civitai.com": "civitai",
    "kaggle.com": "kaggle",
    "dropbox.com": "dropbox",
    "1drv.ms": "onedrive",
    "onedrive.live.com": "onedrive",
    "sharepoint.com": "sharepoint",
    "amazonaws.com": "s3",
    "amazonaws.com.cn": "s3",
    "storage.googleapis.com": "gs",
    "storage.cloud.google.com": "gs",
    "blob.core.windows.net": "az",
    "dfs.core.windows.net": "az",
}


def _shared(url: str) -> tuple[type[Source], dict[str, str]] | None:
    """The source of a share link, None for an address that is none."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
    except ValueError:
        return None
    if parts.scheme not in {"http", "https"} or "@" in parts.netloc:
        return None
    known = (name for name in _LINKS if host == name or host.endswith(f".{name}"))
    kind = source_type(_LINKS[name]) if (name := next(known, "")) else None
    texts = kind.from_address(url) if kind is not None else None
    return None if kind is None or texts is None else (kind, texts)


def _made(kind: type[Source], texts: Mapping[str, str]) -> Source:
    """A source under the rules that a manifest's have. Raises ValueError."""
    document = Document("")
    given = {name: text for name, text in texts.items() if text}
    found = made_of_texts(kind, given, Node("scalar", 1, 1), document)
    if document.problems:
        raise ValueError(document.problems[0].message)
    assert isinstance(found, Source)
    return found


def repository_of(text: str, hub: str = "") -> Source | None:
    """As `source_of`, and a bare owner/name is a model of the Hub."""
    found = source_of(text, hub)
    if found is None and text.count("/") == 1 and re.fullmatch(REPO, text):
        return HuggingFace(text)
    return found


def file_of(text: str, hub: str = "") -> str:
    """The one file that an address of the Hub or GitHub means, "" if it means a repository.

    `https://huggingface.co/o/m/resolve/main/a/x.ckpt` is x.ckpt: relative to what `source_of`
    gives for it, which is the file's folder.
    """
    site, segments = _site(text.strip(), hub)
    if site == "hub":
        segments = segments[1:] if segments[:1] in _KINDS else segments
        at = _width(segments)
    elif segments[2:3] == ["releases"]:
        return _release(segments[3:], True)["path"]
    else:
        at = 2
    one = site and len(segments) > at + 2 and segments[at] in _ONE_FILE
    return segments[-1] if one else ""


_PAGES = (["tree"], ["blob"], ["resolve"], ["raw"])
_KINDS = (["datasets"], ["spaces"], ["models"])


def _width(segments: list[str]) -> int:
    """How many segments of a page of the Hub name the repository: name, or owner/name."""
    second, third = segments[1:2], segments[2:3]
    without_owner = second in _PAGES and third not in _PAGES
    return 1 if len(segments) == 1 or without_owner else 2


def _site(url: str, hub: str) -> tuple[str, list[str]]:
    """("hub" or "github", the path's segments), ("", []) for any other address."""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        return "", []
    if parts.scheme not in {"http", "https"} or "@" in parts.netloc:  # a login is refused there
        return "", []
    segments = [unquote(part) for part in parts.path.split("/") if part]
    own = urlsplit(hub)
    if host in _HUB_HOSTS or (own.hostname and (host, port) == (own.hostname, own.port)):
        return "hub", segments
    if host == _RAW_HOST and len(segments) > 3:
        rest = segments[4:] if segments[2:4] == ["refs", "heads"] else segments[2:]
        return "github", [*segments[:2], "raw", *rest]
    if host in _GITHUB_HOSTS:
        return "github", segments
    return "", []


def _of_page(url: str, hub: str) -> Source | None:
    site, segments = _site(url, hub)
    if not site:
        return None
    found = _of_hub(segments) if site == "hub" else _of_github(segments)
    if found is None:
        raise ValueError(t("is a web page, and not that of a repository"))
    return _made(*found)


_Fields = tuple[type[Source], dict[str, str]]


def _of_hub(segments: list[str], whole: bool = False) -> _Fields | None:
    """The source of a page; of a file's its folder, or (`whole`) the file."""
    if segments[:1] == [PREFIX] and len(segments) > 2:
        fields = HubBucket.of_page(segments[1:])
        return None if fields is None else (HubBucket, fields)
    kind = "model"
    if segments and segments[0] in {"datasets", "spaces", "models"}:
        kind, segments = segments[0].removesuffix("s"), segments[1:]
    if not segments or segments[0] in _NO_OWNER:
        return None
    width = _width(segments)
    repo, rest = "/".join(segments[:width]), segments[width:]
    if not re.fullmatch(REPO, repo):
        return None
    revision, path = "main", ""
    if len(rest) > 1 and rest[0] in {"tree", *_ONE_FILE}:
        revision, path = rest[1], _path(rest, whole)
    return HuggingFace, {"repo": repo, "repo_type": kind, "revision": revision, "path": path}


def _path(rest: list[str], whole: bool) -> str:
    """The path after `blob/main` and its like."""
    path = "/".join(rest[2:])
    return path if whole or rest[0] == "tree" else path.rpartition("/")[0]


def _of_github(segments: list[str], whole: bool = False) -> _Fields | None:
    if len(segments) < 2:
        return None
    repo, rest = f"{segments[0]}/{segments[1].removesuffix('.git')}", segments[2:]
    if rest[:1] == ["releases"]:
        return GitHub, {"repo": repo, **_release(rest[1:], whole)}
    if len(rest) > 1 and rest[0] in {"tree", *_ONE_FILE}:
        if rest[1:3] == ["refs", "heads"] and len(rest) > 3:
            rest = [rest[0], *rest[3:]]
        return GitHub, {"repo": repo, "ref": rest[1], "path": _path(rest, whole)}
    return GitHub, {"repo": repo}


def _release(rest: list[str], whole: bool) -> dict[str, str]:
    """The fields of `tag/v1`, `download/v1/x.pth` and `latest/download/x.pth`."""
    tag = rest[1] if len(rest) > 1 and rest[0] in {"tag", "download"} else "latest"
    asset = rest[2] if len(rest) == 3 and "download" in rest[:2] else ""
    return {"release": tag, "path": asset if whole else ""}
