"""What is wrong with an archive, as failures that name it."""

from __future__ import annotations

from fetcher.errors import Failure
from fetcher.fs.safe_paths import printable
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
            "leave it out in the manifest, if the archive can be trusted at all: "
            "`exclude: [{name!r}]` below `unpack`",
            name=name,
        )
    return Failure("archive", text, hint or t("ask who publishes it for a sound one"), file=archive)


def broken(archive: str, why: object) -> Failure:
    """An archive that ends too early or is damaged."""
    return refused(
        archive,
        t("is cut off or damaged: {why}", why=why),
        hint=t("ask the source again; if it stays so, the archive itself is broken"),
    )
