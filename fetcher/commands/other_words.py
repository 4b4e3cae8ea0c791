"""What people type who know other tools (dvc, git-lfs, hf, pip, uv, npm, docker, ollama), and the
command that does it here."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import click

from fetcher.errors import UsageError
from fetcher.fs.nearest import nearest
from fetcher.i18n import t

# The command, and the words that mean it.
ELSEWHERE = {
    "fetch all": "download install sync pull fetch restore setup clone checkout checkout-index "
    "ci i up ensure bootstrap apply build run make reproduce repro smudge deploy",
    "fetch all --dry-run": "dry-run simulate",
    "fetch get SOURCE": "get-url wget curl snapshot cp copy",
    "fetch lock": "freeze pin compile resolve relock",
    "fetch update": "upgrade refresh bump",
    "fetch plan": "preview",
    "fetch status": "st state ps",
    "fetch check": "validate fsck audit verify-cache integrity",
    "fetch verify": "test try smoke probe",
    "fetch diff": "compare changes log history",
    "fetch outdated": "stale upstream",
    "fetch prune": "cleanup tidy autoremove",
    "fetch gc": "clean purge vacuum delete-cache clear reset system",
    "fetch store du": "du cache scan-cache df size disk",
    "fetch store ls": "blobs",
    "fetch list": "ls search find models images catalog ls-files artifacts",
    "fetch show NAME": "info describe inspect view cat details",
    "fetch tree": "layout files why graph dag",
    "fetch add SOURCE": "register new track import-url create",
    "fetch remove ID": "rm delete del uninstall drop untrack rmi destroy",
    "fetch adopt PATH": "take load link use commit",
    "fetch init": "start begin scaffold",
    "fetch import FILE": "convert migrate from",
    "fetch config": "settings env set options",
    "fetch config allow": "allow trust permit",
    "fetch doctor": "debug diagnose health ping",
    "fetch access": "login logout auth whoami token gated",
    "fetch recommend": "suggest fit hardware",
    "fetch report": "leaderboard rank benchmark",
    "fetch serve": "server daemon web ui host",
    "fetch mirror export OUT": "bundle export pack save archive vendor",
    "fetch mirror import BUNDLE": "unpack",
    "fetch mirror push BUNDLE TO": "push upload publish upload-large-folder",
    "fetch --help": "help commands man usage",
    "fetch --version": "version about",
}
# The same within a group, by its name.
IN_GROUPS = {
    "store": {
        "fetch store du": "usage size info df show disk",
        "fetch store ls": "list blobs find",
        "fetch store check": "verify fsck validate",
        "fetch gc": "gc clean prune rm remove delete clear purge",
    },
    "mirror": {
        "fetch mirror export OUT": "create save write pack bundle add",
        "fetch mirror import BUNDLE": "load unpack read",
        "fetch mirror check BUNDLE": "verify validate ls list show",
        "fetch mirror push BUNDLE TO": "upload publish",
        "fetch mirror pull FROM": "download get sync fetch",
        "fetch serve": "serve",
    },
    "config": {
        "fetch config": "list ls show get set unset",
        "fetch config allow": "trust permit add",
        "fetch config deny": "forbid remove revoke disallow",
    },
}


def _by_word(lines: Mapping[str, str]) -> dict[str, str]:
    return {word: line for line, words in lines.items() for word in words.split()}


def instead(words: Sequence[str], commands: Collection[str], group: str = "") -> str:
    """What to type in place of words that are no command; `group` is whose commands are meant."""
    first = words[0].lower()
    if not group and first == "help" and len(words) > 1 and words[1] in commands:
        return t("`{command}` does that", command=f"fetch {words[1]} --help")
    known = _by_word(IN_GROUPS.get(group, {}) if group else ELSEWHERE)
    close = nearest(first, commands)
    line = known.get(first)
    if not line and group and not close:
        line = _by_word(ELSEWHERE).get(first)
    if line:
        return t("`{command}` does that", command=line)
    if close:
        return t("did you mean {close!r}?", close=close)
    if word := nearest(first, known):  # a slip in another tool's word
        return t("`{command}` does that", command=known[word])
    command = " ".join(filter(None, ("fetch", group, "--help")))
    return t("`{command}` lists what there is", command=command)


def unknown(words: Sequence[str], commands: Collection[str], group: str = "") -> UsageError:
    """The error for words that are no command."""
    name = f"{group} {words[0]}".strip()
    return UsageError(t("no command {name!r}", name=name), instead(words, commands, group))


class SubCommands(click.Group):
    """A group within `fetch` that leads words of other tools to commands."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, but for a word that is no command. Raises UsageError."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            raise unknown(args, self.commands, self.name or "")
        return super().resolve_command(ctx, args)
