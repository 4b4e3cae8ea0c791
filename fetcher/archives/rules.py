"""What `unpack` of a manifest asks for: which files are archives, and which members are wanted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from fetcher.archives.errors import refused, twins
from fetcher.errors import Failure
from fetcher.fs.globs import compile_glob
from fetcher.fs.nearest import nearest
from fetcher.fs.patterns import expand, is_glob
from fetcher.fs.safe_paths import BadPath, PathClaims, check_relative
from fetcher.i18n import t

_TAR = r"(?:tar(?:\.(?:gz|bz2|xz|lzma|zst|Z))?|tgz|tbz2?|txz|tzst|tlz)"
# (Compiled when a name is looked at: most projects have no archives.)
_ARCHIVE = rf"(?i:.+\.(?:{_TAR}|zip|7z|gz|bz2|xz|zst|lzma))"
_OF_FILES = rf"(?is:.+\.(?:{_TAR}|zip|7z))"
_SINGLE = r"(?i:\.(?:gz|bz2|xz|zst|lzma))\Z"
# Parts in their order: name.zip.001, name.tar.gz.part-aa, name.part1, name.tar.aa; a zip's own
# parts are name.z01, name.z02 … and name.zip last.
_SPLIT = (
    r"(?is:(?P<base>.+?)(?:[._-](?:part|chunk|split)[._-]?(?P<a>[a-z]{1,4}|[0-9]{1,5})"
    r"|[._-](?P<b>[0-9]{2,5})|[._-](?P<c>[a-z]{2,3})))"
)
_ZIP_PART = r"(?is:(?P<base>.+)\.z(?P<n>[0-9]{2,5}))"


class Rules(NamedTuple):
    """How one archive is unpacked.

    `strip` leading folders of each member's path are dropped, and members with no more than these.
    `members` and `exclude` are names, globs and ranges; they match a path as it stands in the
    archive, or as it is without what `strip` drops. `encoding` is that of names which the archive
    does not mark as UTF-8. `join`: the files are parts of one archive, to be read one after
    another.
    """

    strip: int = 0
    members: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()
    encoding: str = ""
    join: bool = False


@dataclass(frozen=True)
class Unpack:
    """`unpack` of an artifact: rules for all its archives, or for those named in `by_name`."""

    rules: Rules = field(default_factory=Rules)
    by_name: Mapping[str, Rules] = field(default_factory=dict)

    @property
    def facts(self) -> list[object]:
        """What a lock that was written for it depends on, fit for JSON."""

        def of(rules: Rules) -> list[object]:
            members = None if rules.members is None else list(rules.members)
            return [rules.strip, members, list(rules.exclude), rules.encoding, rules.join]

        return [of(self.rules), {name: of(rules) for name, rules in sorted(self.by_name.items())}]

    def groups(self, names: Sequence[str]) -> dict[str, ArchiveParts]:
        """The archives among an artifact's files, by name, each with the files that make it up.

        Without `by_name` these are the files whose names say so; all of them where none does.
        """
        if self.by_name:
            return self._named(names)
        if self.rules.join:
            return joined(names, self.rules)
        chosen = [name for name in names if re.fullmatch(_ARCHIVE, name)] or names
        return {name: ArchiveParts(name, (name,), self.rules) for name in chosen}

    def _named(self, names: Sequence[str]) -> dict[str, ArchiveParts]:
        found: dict[str, ArchiveParts] = {}
        parts: dict[str, ArchiveParts] = {}
        if any(rules.join for rules in self.by_name.values()):
            parts = joined(names, self.rules)
        for name, rules in self.by_name.items():
            if rules.join and name in parts:
                found[name] = ArchiveParts(name, parts[name].files, rules)
            elif name in names:
                found[name] = ArchiveParts(name, (name,), rules)
        return found

    def missing(self, names: Sequence[str]) -> list[str]:
        """Archives that `unpack` names, and that are not among an artifact's files."""
        there = self.groups(names)
        return [name for name in self.by_name if name not in there]


class ArchiveParts(NamedTuple):
    """One archive: its name, the files that it is read from in their order, and its rules."""

    name: str
    files: tuple[str, ...]
    rules: Rules


def is_archive_name(name: str) -> bool:
    """Whether a file's name says that it is an archive, or one compressed file."""
    return re.fullmatch(_ARCHIVE, name) is not None


def is_archive_of_files(name: str) -> bool:
    """Whether a file's name says that it is an archive, and not one compressed file."""
    return re.fullmatch(_OF_FILES, name) is not None


def name_inside(archive: str) -> str:
    """What the one file of a compressed file is called: its own name less the last suffix."""
    return re.sub(_SINGLE, "", archive) or archive


def joined(names: Iterable[str], rules: Rules) -> dict[str, ArchiveParts]:
    """Archives by name, whose parts are among `names`; what is no part is an archive by itself."""
    parts: dict[str, list[tuple[tuple[int, str], str]]] = {}
    whole: list[str] = []
    for name in sorted(names):
        if found := re.fullmatch(_ZIP_PART, name):
            parts.setdefault(found["base"] + ".zip", []).append(((int(found["n"]), ""), name))
        elif (found := re.fullmatch(_SPLIT, name)) and not re.fullmatch(_ARCHIVE, name):
            parts.setdefault(found["base"], []).append((_order(found), name))
        elif re.fullmatch(_ARCHIVE, name):
            whole.append(name)
    for name in whole:
        # The last part of a zip in parts has the zip's own name.
        parts.setdefault(name, []).append(((1 << 30, ""), name))
    return {
        base: ArchiveParts(base, tuple(name for _, name in sorted(found)), rules)
        for base, found in parts.items()
        if len(found) > 1 or is_archive_name(base)
    }


def _order(found: re.Match[str]) -> tuple[int, str]:
    text: str = found["a"] or found["b"] or found["c"]
    return (int(text), "") if text.isdecimal() else (len(text), text.lower())


class Selector:
    """Which members of one archive are wanted, and by which paths; each is asked for once.

    Raises Failure for a path that is not safe, and for two members on one path.
    """

    def __init__(self, archive: str, rules: Rules) -> None:
        self._archive = archive
        self._strip = rules.strip
        self._wanted = None if rules.members is None else _Patterns(rules.members)
        self._left_out = _Patterns(rules.exclude)
        self._claims = PathClaims()
        self._names: list[str] = []

    def path_of(self, name: str) -> str | None:
        """The path of the member `name`; None if it is not wanted. Raises Failure."""
        if not name:
            raise refused(self._archive, t("has a member without a name"))
        name = name.removeprefix("./")
        bare = name.split("/", self._strip)[-1] if name.count("/") >= self._strip else ""
        if self._wanted is not None and len(self._names) < 1000:
            self._names.append(name)
        if self._left_out.match(name, bare) or not bare:
            return None
        if self._wanted is not None and not self._wanted.match(name, bare):
            return None
        try:
            check_relative(name)
        except BadPath as error:
            raise refused(self._archive, str(error), name) from error
        other = self._claims.claim(bare)
        if other is not None:
            raise twins(self._archive, name, bare, other)
        return bare

    def check_all_found(self) -> None:
        """Raise Failure for a name or glob in `members` that no member has matched."""
        missing = self._wanted.unmatched() if self._wanted is not None else []
        if not missing:
            return
        close = nearest(missing[0], self._names)
        raise Failure(
            "missing-upstream",
            t("{archive} has no member {name!r}", archive=self._archive, name=missing[0]),
            t("did you mean {close!r}?", close=close)
            if close
            else t("compare `members` with the archive's list"),
            file=self._archive,
        )


class _Patterns:
    """Names and globs, and which of them have matched."""

    def __init__(self, patterns: Iterable[str]) -> None:
        items = [item for pattern in patterns for item in expand(pattern)]
        self._literal = dict.fromkeys(items, False)
        self._globs = {item: compile_glob(item) for item in items if is_glob(item)}

    def match(self, *names: str) -> bool:
        """Whether any of a member's names is meant."""
        found = False
        for name in names:
            if name in self._literal:
                self._literal[name] = found = True
        for item, glob in self._globs.items():
            if any(glob.matches(name) for name in names if name):
                self._literal[item] = found = True
        return found

    def unmatched(self) -> list[str]:
        """What has matched nothing."""
        return [item for item, matched in self._literal.items() if not matched]
