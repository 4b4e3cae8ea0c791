"""What is wrong with an archive, as failures that name it."""

from __future__ import annotations

from fetcher.errors import Failure
from fetcher.fs.safe_paths import printable
from fetcher.fs.spelled import leave_out, told_apart
from fetcher.i18n import t


def refused(archive: str, why: str, member: str = "", hint: str = "") -> Failure:
    """An archive that is not taken: `why` says what is wrong, with `member` if one is to blame."""
    name = printable(member)
    text = (
        t("{archive}: member {member!r} {why}", archive=archive, member=name, why=why)
        if member
        else t("{archive} {why}", archive=archive, why=why)
    )
    if not hint and member:
        hint = t(
            "if the archive can be trusted at all, {leave_out} (below `unpack`)",
            leave_out=leave_out(member, key="members"),
        )
    return Failure("archive", text, hint or t("ask who publishes it for a sound one"), file=archive)


def twins(archive: str, member: str, path: str, other: str) -> Failure:
    """An archive of which two members fall on one path: `member` at `path`, where `other` is."""
    if other == path:
        return refused(archive, t("stands there twice"), member)
    own, taken = told_apart(path, other)
    text = t(
        "{archive}: member {own} falls on one path with {other}",
        archive=archive,
        own=own,
        other=taken,
    )
    hint = t(
        "{leave_out} (below `unpack`)", leave_out=leave_out(member, key="members", beside=other)
    )
    return Failure("archive", text, hint, file=archive)


def broken(archive: str, why: object) -> Failure:
    """An archive that ends too early or is damaged."""
    return refused(
        archive,
        t("is cut off or damaged: {why}", why=why),
        hint=t("ask the source again; if it stays so, the archive itself is broken"),
    )
