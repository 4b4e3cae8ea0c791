"""Who asks, and what they may see: bearer tokens, their rights, and artifacts' visibility."""

from __future__ import annotations

import base64
import binascii
import fnmatch
import hashlib
import hmac
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from fetcher.errors import UsageError
from fetcher.i18n import t
from fetcher.mirror.inventory import ArtifactRecord
from fetcher.verify.contract.regular import read_regular_text

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_TOKEN = re.compile(r"[\x21-\x7e]{8,512}")
_NAME = re.compile(r"[A-Za-z0-9_.@-]{1,64}")


@dataclass(frozen=True)
class Identity:
    """Whoever a token stands for; without a name, they are not signed in.

    `globs` are the artifacts that it may read whoever owns them, by full name. With `reads`, what
    has no owner is theirs: it belongs to the project. With `unmarked`, so is what says nothing of
    who may see it.
    """

    name: str = ""
    upload: bool = False
    globs: tuple[str, ...] = ()
    reads: bool = False
    unmarked: bool = False

    @property
    def sees_all(self) -> bool:
        """Whether every artifact of every project exists for them."""
        return "*" in self.globs

    def may_see(self, full_name: str, record: ArtifactRecord) -> bool:
        """Whether an artifact with this record exists for them.

        Public ones for everybody, those of an organization for who is signed in, private ones
        for their owner.
        """
        if record.visibility == "public" or (self.unmarked and not record.text("visibility")):
            return True
        if not self.name and record.closed:
            return False
        if any(fnmatch.fnmatchcase(full_name, glob) for glob in self.globs):
            return True
        if not self.name:
            return False
        if record.visibility == "organization":
            return True
        owner = record.text("owner")
        return owner.casefold() == self.name.casefold() if owner else self.reads


ANONYMOUS = Identity()
# Whoever reaches a server without tokens on its owner's machine, or that shows all on purpose.
EVERYBODY = Identity(globs=("*",))
# Whoever reaches one through the network: nobody has told us who they are.
NETWORK = Identity(unmarked=True)


@dataclass
class Tokens:
    """Tokens of a file, read again when it changes; kept as digests only.

    A line is `NAME RIGHTS TOKEN`: rights are `read`, `read=GLOB` and `upload`, joined by commas;
    its bearer is the owner of what has NAME as its owner;
    the token is itself or `sha256:` and its digest.
    """

    path: Path | None = None
    without: Identity = EVERYBODY  # who anybody is where there is no file
    _known: list[tuple[bytes, Identity]] = field(default_factory=list)
    _seen: tuple[int, int, int] | None = None

    def __post_init__(self) -> None:
        self.refresh(strict=True)

    def __bool__(self) -> bool:
        return self.path is not None

    def refresh(self, strict: bool = False) -> str:
        """Read the file if it changed; what is wrong with it then, or "". Raises UsageError.

        A file that became unreadable lets nobody in; one with a mistake in it keeps the old ones.
        """
        if self.path is None:
            return ""
        try:
            stat = os.stat(self.path)
            seen = stat.st_mtime_ns, stat.st_size, stat.st_ino
            if seen == self._seen:
                return ""
            self._seen = seen
            self._known = _parse(read_regular_text(self.path), self.path)
        except UsageError as error:
            if strict:
                raise
            return error.message
        except (OSError, UnicodeDecodeError) as error:
            if strict:
                raise UsageError(
                    t("{path} cannot be read: {error}", path=self.path, error=error),
                    t("check --tokens"),
                ) from None
            complaint = (
                t("{path} cannot be read: {error}", path=self.path, error=error)
                if self._known
                else ""
            )
            self._known, self._seen = [], None
            return complaint
        return ""

    def identify(self, header: str | None) -> Identity | None:
        """Whose token an Authorization header carries; None for one that nobody has."""
        if self.path is None:
            return self.without
        token = token_of(header)
        if token is None:
            return ANONYMOUS
        digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        found = None
        for known, identity in self._known:  # all of them: the time tells nothing
            if hmac.compare_digest(known, digest):
                found = identity
        return found


def token_of(header: str | None) -> str | None:
    """The token of an Authorization header: Bearer, or Basic with the token as password."""
    kind, _, value = (header or "").strip().partition(" ")
    if kind.lower() == "bearer":
        return value.strip() or None
    if kind.lower() == "basic":
        try:
            text = base64.b64decode(value.strip(), validate=True).decode("utf-8")
        except (binascii.Error, ValueError):
            return None
        return text.partition(":")[2] or None
    return None


def _parse(text: str, path: Path) -> list[tuple[bytes, Identity]]:
    found: list[tuple[bytes, Identity]] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        # The line itself may hold a token: it is never shown.
        where = f"{path}:{number}"
        if len(words) != 3:
            raise UsageError(
                t(
                    "{where}: expected NAME RIGHTS TOKEN, found {count} words",
                    where=where,
                    count=len(words),
                ),
                t("such as: ci read,upload sha256:<digest of the token>"),
            )
        name, rights, token = words
        if not _NAME.fullmatch(name):
            raise UsageError(
                t("{where}: a name is letters, digits and . _ @ -", where=where), t("rename it")
            )
        found.append((_digest(token, where), _identity(name, rights, where)))
    return found


def _digest(token: str, where: str) -> bytes:
    if _DIGEST.fullmatch(token):
        return bytes.fromhex(token.removeprefix("sha256:"))
    if token.startswith("sha256:") or not _TOKEN.fullmatch(token):
        raise UsageError(
            t("{where}: the token is too short, or its sha256 is not 64 hex digits", where=where),
            t("make one: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"),
        )
    return hashlib.sha256(token.encode()).digest()


def _identity(name: str, rights: str, where: str) -> Identity:
    upload, reads, globs = False, False, []
    for right in rights.split(","):
        kind, given, glob = right.partition("=")
        if right == "read":
            reads = True
        elif kind == "read" and given and glob:
            globs.append(glob)
        elif right == "upload":
            upload = True
        else:
            raise UsageError(
                t("{where}: rights are read, read=GLOB and upload, joined by commas", where=where),
                t("such as: read=ohlora/*,upload"),
            )
    return Identity(name, upload, tuple(globs), reads)
