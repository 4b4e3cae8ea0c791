"""Checksum files that publishers put beside their files: `SHA256SUMS`, `x.sha1`, `x.sfv`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from fetcher.errors import Failure
from fetcher.fs import published
from fetcher.fs.safe_paths import printable
from fetcher.i18n import t
from fetcher.network.session import Network
from fetcher.sources.base import (
    DeferredCandidate,
    FileEntry,
    PathCandidate,
    Source,
    UrlCandidate,
)
from fetcher.sources.url import Url

_LONGEST = 64 << 20  # bytes of a checksum file
_BY_LENGTH = {128: "sha512", 64: "sha256", 40: "sha1", 32: "md5", 8: "crc32"}
_PLAIN = re.compile(r"\\?([0-9A-Fa-f]{8,128})(?: [ *]|\s+)(.+)")
_TAGGED = re.compile(r"(SHA512|SHA256|SHA1|MD5)\s*\((.+)\)\s*=\s*([0-9A-Fa-f]{32,128})", re.I)
_SFV = re.compile(r"(\S(?:.*\S)?)\s+([0-9A-Fa-f]{8})")
_BARE = re.compile(r"[0-9A-Fa-f]{32,128}")

Sums = dict[str, dict[str, str]]  # by path: digests by kind


def parse(text: str, name: str) -> Sums:
    """The digests of a checksum file called `name`, by the paths that it gives.

    A file of one bare digest is about what it is called after (`x.pth.sha256`), or about "".
    """
    found: Sums = {}
    for line in map(str.strip, text.splitlines()):
        if not line or line.startswith((";", "#")):
            continue
        if tagged := _TAGGED.fullmatch(line):
            _add(found, tagged[2], tagged[3])
        elif plain := _PLAIN.fullmatch(line):
            _add(found, plain[2], plain[1])
        elif name.endswith(".sfv") and (sfv := _SFV.fullmatch(line)):
            _add(found, sfv[1], sfv[2])
        elif _BARE.fullmatch(line):
            about = re.sub(r"\.(?:sha\d+|md5)(?:sums?|\.txt)?$", "", name.rpartition("/")[2])
            _add(found, "" if about == name.rpartition("/")[2] else about, line)
    return found


def _add(found: Sums, path: str, digest: str) -> None:
    kind = _BY_LENGTH.get(len(digest))
    if kind:
        path = path.strip().lstrip("*").removeprefix("./")
        found.setdefault(path, {})[kind] = digest.lower()


def apply(
    files: Sequence[FileEntry], source: Source, names: Sequence[str], network: Network
) -> list[FileEntry]:
    """The files with the digests that the checksum files `names` of their source state.

    Raises Failure where one cannot be read, is no checksum file, or says nothing of a file.
    """
    sums: Sums = {}
    for name in names:
        text = _read(name, source, network)
        read = parse(text, name)
        if not read:
            raise Failure(
                "refused",
                t("{name} is no checksum file: no line has a digest", name=printable(name)),
                t("correct `checksums` in the manifest"),
                file=name,
            )
        for path, digests in read.items():
            sums.setdefault(path, {}).update(digests)
    last = {name.rpartition("/")[2] for name in names}
    return [
        file if file.path.rpartition("/")[2] in last else _with(file, sums, names, len(files) == 1)
        for file in files
    ]


def _with(file: FileEntry, sums: Sums, names: Sequence[str], alone: bool) -> FileEntry:
    digests = _of(file.path, sums) or (sums.get("") if alone else None)
    if digests is None:
        raise Failure(
            "missing-upstream",
            t("{names} says nothing of {path}", names=", ".join(names), path=file.path),
            t("name the right checksum file, or leave the file out"),
            file=file.path,
        )
    stated, known = digests.get("sha256"), file.sha256
    if stated and known and stated != known:
        raise Failure(
            "digest-mismatch",
            t(
                "{path}: {names} says sha256 {stated}, the source or the manifest {known}",
                path=file.path,
                names=", ".join(names),
                stated=stated,
                known=known,
            ),
            file=file.path,
        )
    return file._replace(
        sha256=known or stated,
        md5=file.md5 or digests.get("md5"),
        published=file.published or published.strongest(digests),
        size_hint=file.size_hint and not stated,
        size=None if file.size_hint and stated else file.size,
    )


def _of(path: str, sums: Mapping[str, dict[str, str]]) -> dict[str, str] | None:
    """The digests of a path; a checksum file may stand in another folder than its names say."""
    if path in sums:
        return sums[path]
    last = path.rpartition("/")[2]
    fitting = [name for name in sums if name.replace("\\", "/").rpartition("/")[2] == last]
    return sums[fitting[0]] if len(fitting) == 1 else None


def _read(name: str, source: Source, network: Network) -> str:
    """A checksum file's text. Raises Failure."""
    if name.startswith(("http://", "https://")):
        source, name = Url(name), "checksums"
    else:
        source = source.beside()
    failure = Failure("not-found", t("{name} is not there", name=printable(name)), file=name)
    for place in source.candidates(source.pinned_revision(), FileEntry(name), network):
        known = place.prepare(network) if isinstance(place, DeferredCandidate) else place
        if isinstance(known, PathCandidate):
            try:
                with open(known.path, "rb") as stream:  # noqa: PTH123
                    return stream.read(_LONGEST).decode("utf-8-sig", "replace")
            except OSError:
                continue
        if not isinstance(known, UrlCandidate):
            continue
        answer = network.request(known.url, headers=known.headers)
        page = answer.headers.get("content-type", "").startswith("text/html")
        if answer.status == 200 and not page and len(answer.body) <= _LONGEST:
            return answer.body.decode("utf-8-sig", "replace")
        failure = Failure(
            "not-found",
            t("{name}: HTTP {status}", name=printable(name), status=answer.status),
            t("correct `checksums` in the manifest"),
            file=name,
        )
    raise failure
