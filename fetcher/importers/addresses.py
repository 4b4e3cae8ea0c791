"""Addresses as documents write them: what is left out, and which file or repository they mean."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from fetcher.fs.logins import query_name
from fetcher.fs.safe_paths import BadPath, check_relative
from fetcher.i18n import t
from fetcher.importers.document_paths import Unreadable, not_told, visible

HUB_HOSTS = {"huggingface.co", "www.huggingface.co", "hf.co", "hf-mirror.com"}
# What says that the bytes themselves are wanted; the file is the same without it.
_IDLE = {"download", "raw", "dl"}


def clean_address(text: str) -> str:
    """An address that can stand in a manifest. Raises Unreadable for none, or a login in it."""
    text = text.strip().strip("<>")
    if unknown := not_told(text):
        raise Unreadable(t("the script does not say what {name} is", name=unknown))
    if "://" not in text and re.match(r"(www\.)?[\w-]+(\.[\w-]+)+/\S", text):
        text = f"https://{text}"  # wget and curl take it so
    try:
        parts = urlsplit(text)
        host = parts.hostname
        parts.port  # noqa: B018 - raises for a port that is none
    except ValueError:
        host = None
    if (
        not host
        or parts.scheme not in {"http", "https", "ftp", "ftps"}
        or re.search(r"[\s\x00-\x1f\x7f]", text)
    ):
        raise Unreadable(t("{text} is no address of a file", text=visible(text)[:100]))
    if "@" in parts.netloc:
        raise Unreadable(t("the address holds a login: put it into ~/.netrc"))
    if query_name(text):
        raise Unreadable(t("the address holds a login, which no manifest holds"))
    return urlunsplit(parts._replace(fragment=""))


ZENODO = re.compile(r"https?://(?:www\.)?zenodo\.org/records?/(\d+)/?(?:\?.*)?")
KAGGLE = re.compile(r"https?://(?:www\.)?kaggle\.com/datasets/[\w.-]+/[\w.-]+/?(?!.*[?&]select=)")
_DRIVE_FOLDER = re.compile(r"https?://drive\.google\.com/drive/(?:u/\d+/)?folders/")


def lists_files(address: str) -> bool:
    """Whether an address is that of a record, dataset or folder, which lists files."""
    return bool(ZENODO.fullmatch(address) or KAGGLE.match(address) or _DRIVE_FOLDER.match(address))


def file_name(address: str) -> str:
    """The name that the address itself gives to its file, "" where the server must say it."""
    parts = urlsplit(address)
    host = (parts.hostname or "").lower()
    name = unquote(parts.path.rpartition("/")[2]).rpartition("/")[2]
    if host in {"drive.google.com", "docs.google.com", "drive.usercontent.google.com"}:
        return ""
    if host.endswith(("1drv.ms", "sharepoint.com")) or (
        host.endswith("civitai.com") and "/api/" in parts.path
    ):
        return ""
    query = [
        (key, value) for key, value in parse_qsl(parts.query, True) if key.lower() not in _IDLE
    ]
    if query and "." not in name:
        return ""
    try:
        return check_relative(name) if name else ""
    except BadPath:
        return ""


def without_idle(address: str) -> str:
    """The address without `?download=true` and its like."""
    parts = urlsplit(address)
    kept = [(key, value) for key, value in parse_qsl(parts.query, True) if key.lower() not in _IDLE]
    return urlunsplit(parts._replace(query=urlencode(kept)))


def hub_repository(address: str) -> tuple[str, str] | None:
    """(kind, repository) of an address that git clones from the Hub, None for another."""
    found = re.fullmatch(r"(?:git@hf\.co:|git@huggingface\.co:)(.+)", address)
    if found:
        path = found[1]
    else:
        try:
            parts = urlsplit(address)
        except ValueError:
            return None
        if (parts.hostname or "").lower() not in HUB_HOSTS:
            return None
        path = parts.path
    segments = [part for part in path.removesuffix(".git").split("/") if part]
    kind = "model"
    if segments[:1] in (["datasets"], ["spaces"]):
        kind, segments = segments[0][:-1], segments[1:]
    return (kind, "/".join(segments[:2])) if segments else None


def modelscope_repository(address: str) -> str:
    """The model of ModelScope that an address is, "" for another."""
    found = re.fullmatch(
        r"https?://(?:www\.)?modelscope\.cn/(?:models/)?([\w.-]+/[\w.-]+?)(?:\.git|/summary|/files)?/?",
        address,
    )
    return found[1] if found and not found[1].startswith("datasets/") else ""
