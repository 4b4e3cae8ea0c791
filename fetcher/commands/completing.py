"""What TAB offers: commands, options, and names of the project; and the scripts for three shells.

The project is a stranger's: its names are data. A name with a control character is not offered,
one that looks like an option is not either, and the scripts quote the others by the shell's own
means. Nothing is printed but candidates, one a line: kind, value and help, with tabs between.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
from click.shell_completion import CompletionItem, ShellComplete, split_arg_string

from fetcher.i18n import local
from fetcher.project import name_scan
from fetcher.project.project import find_root

VARIABLE = "_FETCH_COMPLETE"
_HELP = 60  # characters

_BASH = r"""# Put it into ~/.local/share/bash-completion/completions/fetch
_fetch_completion() {
    local kind value help current="${COMP_WORDS[COMP_CWORD]}" IFS=$'\n'
    local words="${COMP_WORDS[*]}"
    COMPREPLY=()
    while IFS=$'\t' read -r kind value help; do
        case "$kind" in
            plain)
                case "$current" in
                    \"*|\'*) [[ "$value" == *[!A-Za-z0-9_./@:=+-]* ]] || COMPREPLY+=("$value") ;;
                    *) printf -v value '%q' "$value"; COMPREPLY+=("$value") ;;
                esac ;;
            file) compopt -o default 2>/dev/null ;;
            dir) compopt -o dirnames 2>/dev/null ;;
        esac
    done < <(COMP_WORDS="$words" COMP_CWORD="$COMP_CWORD" _FETCH_COMPLETE=bash \
        command fetch 2>/dev/null)
}
complete -o nosort -F _fetch_completion fetch 2>/dev/null || complete -F _fetch_completion fetch
"""
_ZSH = r"""#compdef fetch
# Put it into a folder of $fpath as _fetch
_fetch() {
    local kind value help
    local -a values shown
    while IFS=$'\t' read -r kind value help; do
        case "$kind" in
            plain) values+=("$value"); shown+=("$value${help:+  -- $help}") ;;
            file) _files ;;
            dir) _files -/ ;;
        esac
    done < <(COMP_WORDS="${(pj:\n:)words}" COMP_CWORD=$((CURRENT-1)) _FETCH_COMPLETE=zsh \
        command fetch 2>/dev/null)
    (( $#values )) && compadd -V fetch -l -d shown -a -- values
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _fetch "$@"
else
    compdef _fetch fetch
fi
"""
_FISH = r"""# Put it into ~/.config/fish/completions/fetch.fish
function __fetch_completion
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l sent (string join \n -- $words | string collect)
    for line in (env COMP_WORDS=$sent COMP_CWORD=$current _FETCH_COMPLETE=fish fetch 2>/dev/null)
        set -l parts (string split -m 2 \t -- $line)
        switch $parts[1]
            case plain
                printf '%s\t%s\n' $parts[2] $parts[3]
            case file
                __fish_complete_path $current
            case dir
                __fish_complete_directories $current ''
        end
    end
end
complete --no-files --command fetch --arguments '(__fetch_completion)'
"""
SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


class _Shell(ShellComplete):
    """One of the shells: reads the words that it has, and whose candidates want a prefix."""

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the one that TAB is pressed in, and that one."""
        words, at = os.environ.get("COMP_WORDS", ""), os.environ.get("COMP_CWORD", "")
        if self.name == "fish":
            return words.split("\n")[1:], _unquoted(at)
        raw, index = words.split("\n"), int(at)
        if self.name == "bash":
            raw, index = _joined(raw, index)
        return [_unquoted(word) for word in raw[1:index]], _unquoted("".join(raw[index:][:1]))


class _Bash(_Shell):
    name = "bash"


class _Zsh(_Shell):
    name = "zsh"


class _Fish(_Shell):
    name = "fish"


_SHELLS = {"bash": _Bash, "zsh": _Zsh, "fish": _Fish}


def _joined(words: list[str], index: int) -> tuple[list[str], int]:
    """Bash takes `--group=a` apart into three words: put them together again."""
    found: list[str] = []
    where = 0
    for number, word in enumerate(words):
        before = found[-1] if found else ""
        joins = word == "=" or before.endswith("=")
        if joins and before.startswith("--") and before.count("=") + (word == "=") == 1:
            found[-1] += word
        else:
            found.append(word)
        if number <= index:
            where = len(found) - 1
    return found, where


def _unquoted(word: str) -> str:
    return "".join(split_arg_string(word)[:1])


def answer(cli: click.Command, shell: str) -> int:
    """Print what can stand at the cursor; whatever goes wrong, nothing else is printed."""
    maker = _SHELLS.get(shell)
    if maker is None:
        return 1
    try:
        one = maker(cli, {}, "fetch", VARIABLE)
        args, incomplete = one.get_completion_args()
        items = one.get_completions(args, incomplete)
        prefix = ""
        if shell != "bash" and incomplete.startswith("--") and "=" in incomplete:
            prefix = incomplete.partition("=")[0] + "="
        text = "".join(map(_line, _sound(items, prefix)))
    except Exception:  # a project that is half written, or hostile: no traceback in a prompt
        return 1
    sys.stdout.buffer.write(text.encode("utf-8", "ignore"))
    return 0


def _sound(items: list[CompletionItem], prefix: str) -> Iterator[CompletionItem]:
    for item in items:
        if item.type != "plain":
            yield CompletionItem("", type=item.type)
        elif str(item.value).isprintable():
            help = "".join(c for c in local(item.help or "") if c.isprintable())
            yield CompletionItem(prefix + str(item.value), help=help[:_HELP])


def _line(item: CompletionItem) -> str:
    return f"{item.type}\t{item.value}\t{item.help or ''}\n"


class Values(click.types.StringParamType):
    """Text, with what TAB offers for it."""

    def __init__(self, offer: Callable[[Path], list[str]] | str, or_files: bool = False) -> None:
        self.offer, self.or_files = offer, or_files

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Names that begin as the word does; not those that look like an option."""
        if isinstance(self.offer, str):
            return [CompletionItem(incomplete, type=self.offer)]
        names = self.offer(find_root(Path.cwd()))
        if self.or_files and not (incomplete and any(n.startswith(incomplete) for n in names)):
            return [CompletionItem(incomplete, type="file")]  # (bash takes one or the other)
        taken = ctx.params.get(param.name or "") if param.nargs == -1 else None
        taken = taken if isinstance(taken, tuple) else ()
        return [
            CompletionItem(name)
            for name in names
            if name.startswith(incomplete) and not name.startswith("-") and name not in taken
        ]


def _names(root: Path) -> list[str]:
    return [*name_scan.manifests(root), *name_scan.artifacts(root)]


def _known(root: Path) -> list[str]:
    return [*name_scan.artifacts(root, catalog=True), *name_scan.manifests(root)]


def _words(name: str) -> Callable[[Path], list[str]]:
    def found(_: Path) -> list[str]:
        from fetcher.project import spellings

        return list(getattr(spellings, name))

    return found


def _dtypes(_: Path) -> list[str]:
    from fetcher.config.settings import DTYPES

    return list(DTYPES)


def _devices(_: Path) -> list[str]:
    return ["auto", "cpu", "cuda", "cuda:0", "mps"]


def _kinds(_: Path) -> list[str]:
    return ["model", "dataset", "code"]


_OFFERS: dict[str, Callable[[Path], list[str]] | str] = {
    **dict.fromkeys(("manifests", "names", "update"), _names),
    **dict.fromkeys(("only", "skip", "as_id", "artifact"), name_scan.artifacts),
    "name": _known,
    "manifest": name_scan.manifests,
    "groups": name_scan.groups,
    "variants": name_scan.variants,
    **dict.fromkeys(("mirrors", "paths", "file", "bundles", "bundle", "target"), "file"),
    "checkpoint": "file",
    **dict.fromkeys(("python", "old", "new", "source", "since", "from_json"), "file"),
    "task": _words("TASKS"),
    "task_type": _words("TASKS"),
    "framework": _words("FRAMEWORKS"),
    "metric": _words("METRICS"),
    "license": _words("LICENSES"),
    "visibility": _words("VISIBILITIES"),
    "kind": _kinds,
    "device": _devices,
    "dtype": _dtypes,
}


# What a metavar says of the value; a parameter's own name says more.
_BY_METAVAR = {"DIR": "dir", "FOLDER": "dir", "FILE": "file", "PATH": "file", "PROJECT": "dir"}
_CHOICES = re.compile(r"[a-z][\w-]*(?:\|[a-z][\w-]*)+")


def _offer_of(param: click.Parameter) -> Values | None:
    name = (param.name or "").removeprefix("field_")
    metavar = (param.metavar or "").strip("[].")
    if "--name" in param.opts or name == "files":  # a new one; those of a source, not of a disk
        return None
    if name == "origins":
        return Values(lambda _: name_scan.catalog_manifests(), or_files=True)
    if name in _OFFERS:
        return Values(_OFFERS[name])
    if _CHOICES.fullmatch(metavar):
        return Values(lambda _: metavar.split("|"))
    return Values(_BY_METAVAR[metavar]) if metavar in _BY_METAVAR else None


def offer_values(command: click.Command) -> None:
    """Let a command's parameters offer what they take."""
    for param in command.params:
        plain = isinstance(param.type, type(click.STRING))
        if plain and not getattr(param, "is_flag", False) and (offer := _offer_of(param)):
            param.type = offer
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            offer_values(inner)
