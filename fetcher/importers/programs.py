"""What programs that scripts call would do to the tree: downloads, unpacking, moving.

An argument that is not known makes the call Unreadable: it may change what is meant.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

from fetcher.i18n import t
from fetcher.importers.addresses import (
    clean_address,
    file_name,
    hub_repository,
    modelscope_repository,
)
from fetcher.importers.archive_members import move_members, remove_members
from fetcher.importers.document_paths import (
    Unreadable,
    is_pattern,
    join,
    located,
    not_told,
    visible,
)
from fetcher.importers.hub_patterns import manifest_patterns
from fetcher.importers.target_tree import FileOrigin, HubFile, Origin, RepoOrigin, TargetTree

BY_HAND = t("run it by hand if it is needed")
# Programs that bring and move nothing that a project's tree needs.
HARMLESS = frozenset(
    [
        ":",
        "[",
        "alias",
        "apt",
        "apt-get",
        "basename",
        "brew",
        "chmod",
        "chown",
        "clear",
        "column",
        "command",
        "conda",
        "date",
        "declare",
        "df",
        "dirname",
        "dnf",
        "du",
        "exit",
        "false",
        "file",
        "free",
        "getopts",
        "hash",
        "head",
        "history",
        "id",
        "jobs",
        "join",
        "kill",
        "less",
        "local",
        "locale",
        "ls",
        "lscpu",
        "lspci",
        "mamba",
        "man",
        "micromamba",
        "more",
        "npm",
        "nproc",
        "nvcc",
        "nvidia-smi",
        "pacman",
        "pip",
        "pip3",
        "poetry",
        "ps",
        "pwd",
        "read",
        "readonly",
        "return",
        "rmdir",
        "set",
        "shift",
        "shopt",
        "sleep",
        "sort",
        "source",
        "sync",
        "tail",
        "test",
        "time",
        "touch",
        "tput",
        "trap",
        "tree",
        "true",
        "tty",
        "type",
        "ulimit",
        "umask",
        "unalias",
        "uname",
        "uniq",
        "unset",
        "uv",
        "wait",
        "wc",
        "where",
        "which",
        "whoami",
        "yum",
    ]
)
_WRAPPERS = {
    "sudo",
    "time",
    "nohup",
    "nice",
    "exec",
    "command",
    "builtin",
    "env",
    "stdbuf",
    "proxychains",
    "proxychains4",
}


@dataclass
class Call:
    """One call of a program: its words, where the script has it, and what it reads."""

    argv: list[str]
    line: int
    text: str
    cwd: str = ""
    stdin: Origin | str | None = None
    to: str | None = None  # where stdout goes: a path, "|" for another program
    optional: bool = False
    environment: dict[str, str] = field(default_factory=dict)


Outcome = Origin | str | None


def run(call: Call, tree: TargetTree) -> Outcome:
    """Do to the tree what the call would do; what it would write to stdout, if that is known.

    Raises Unreadable where that cannot be told.
    """
    argv = list(call.argv)
    while argv and posixpath.basename(argv[0]) in _WRAPPERS:
        argv.pop(0)
        while argv and (argv[0].startswith("-") or re.fullmatch(r"[A-Za-z_]\w*=.*", argv[0])):
            argv.pop(0)
    if not argv:
        return None
    name = posixpath.basename(argv[0])
    if name in {"python", "python3"} and argv[1:3] == ["-m", "pip"]:
        return None
    if name in {"python", "python3"} and argv[1:2] == ["-m"] and len(argv) > 2:
        module = argv[2]
        name, argv = (
            {"gdown": "gdown", "zipfile": "python-zipfile", "wget": "wget"}.get(module, name),
            argv[2:],
        )
    program = _PROGRAMS.get(name)
    if program is not None:
        return program(replace(call, argv=argv[1:]), tree)
    if name in HARMLESS:
        return None
    raise Unreadable(BY_HAND)


@dataclass(frozen=True)
class _Options:
    """Options by name, in order, and what is left."""

    pairs: list[tuple[str, str]]
    rest: list[str]

    def last(self, *names: str) -> str | None:
        """The value of the last of these options, None if none was given."""
        found = [value for name, value in self.pairs if name in names]
        return found[-1] if found else None

    def all(self, *names: str) -> list[str]:
        """The values of these options."""
        return [value for name, value in self.pairs if name in names]


def options(argv: Sequence[str], valued: Collection[str], many: Collection[str] = ()) -> _Options:
    """Options and arguments of a command line.

    `valued` are options that take a value, `many` those that take all words up to the next option.
    """
    pairs: list[tuple[str, str]] = []
    rest: list[str] = []
    items = list(argv)
    while items:
        item = items.pop(0)
        if item == "--":
            rest += items
            break
        if item.startswith("--") or (item.startswith("-") and item in {*valued, *many}):
            name, equals, value = item.partition("=")
            if name in many and not equals:
                while items and not items[0].startswith("-"):
                    pairs.append((name, items.pop(0)))
            elif name in valued and not equals:
                if not items:
                    raise Unreadable(t("{name} has no value", name=name))
                pairs.append((name, items.pop(0)))
            else:
                pairs.append((name, value))
        elif item.startswith("-") and len(item) > 1:
            _clustered(item, items, valued, pairs)
        else:
            rest.append(item)
    return _Options(pairs, rest)


def _clustered(
    item: str, items: list[str], valued: Collection[str], pairs: list[tuple[str, str]]
) -> None:
    letters = item[1:]
    while letters:
        name, letters = "-" + letters[0], letters[1:]
        if name in valued:
            if not letters and not items:
                raise Unreadable(t("{name} has no value", name=name))
            pairs.append((name, letters.removeprefix("=") if letters else items.pop(0)))
            return
        pairs.append((name, ""))


# --- downloads


def _bring(
    call: Call, tree: TargetTree, address: str, target: str | None, folder: str = ""
) -> Outcome:
    """One address to a path (None: the address's own name; "-": stdout)."""
    address = web_address(address)
    origin = FileOrigin(address, call.line, optional=call.optional)
    if target is not None and not_told(posixpath.basename(target)):
        # Only the server knows its name.
        folder, target = posixpath.dirname(target), None
        if not folder:
            raise Unreadable(t("the script does not say what {name} is", name=not_told(call.text)))
        tree.unnamed.append((located(call.cwd, folder), origin))
        return None
    if target == "-":
        if call.to == "|":
            return origin
        if call.to is None:
            raise Unreadable(t("what it brings is only printed"))
        target, folder = call.to, ""
    if target == "/dev/null":
        return None
    base = located(call.cwd, folder) if folder else call.cwd
    if target is None:
        name = file_name(address)
        if not name:
            tree.unnamed.append((base, origin))
            return None
        tree.put(join(base, name), origin)
        return None
    tree.put(located(base, target), replace(origin, name=posixpath.basename(target)))
    return None


def web_address(text: str) -> str:
    """An address as `clean_address` has it; of a file of Google Drive, its share address.

    Scripts add to those what only a run can tell, such as an answer to a warning.
    """
    found = re.match(r"https?://(?:drive|docs)\.(?:usercontent\.)?google\.com/\S*", text.strip())
    if found and (part := re.search(r"[?&]id=([\w-]{10,})(?:&|$)|/d/([\w-]{10,})", found[0])):
        return drive_address(part[1] or part[2])
    return clean_address(text)


def _is_drive(text: str) -> bool:
    return "drive.google.com/" in text or "docs.google.com/" in text


_WGET_VALUES = frozenset(
    [
        "-O",
        "--output-document",
        "-P",
        "--directory-prefix",
        "-i",
        "--input-file",
        "-t",
        "--tries",
        "-T",
        "--timeout",
        "--header",
        "-U",
        "--user-agent",
        "-w",
        "--wait",
        "-e",
        "--execute",
        "--user",
        "--password",
        "--referer",
        "--limit-rate",
        "--waitretry",
        "--load-cookies",
        "--save-cookies",
        "--post-data",
        "-o",
        "--output-file",
        "-a",
        "--append-output",
        "--progress",
        "--connect-timeout",
        "--read-timeout",
        "--ca-certificate",
        "--retry-on-http-error",
        "--dns-timeout",
        "-B",
        "--base",
        "--max-redirect",
        "-A",
        "-R",
        "-D",
        "-I",
        "-X",
        "-l",
        "--level",
        "--cut-dirs",
        "--accept",
        "--reject",
    ]
)
_UNREAD_WGET = {
    "-r",
    "--recursive",
    "-m",
    "--mirror",
    "-x",
    "--post-data",
    "-p",
    "--force-directories",
}


def _wget(call: Call, tree: TargetTree) -> Outcome:
    given = options(_nc(call.argv), _WGET_VALUES)
    names = {name for name, _ in given.pairs}
    if wrong := names & _UNREAD_WGET:
        raise Unreadable(t("{option} is not read", option=sorted(wrong)[0]))
    if not any(map(_is_drive, given.rest)):
        _login(given, names, "--load-cookies")
    _login(given, names, "--user", "--password", "--http-user", "--http-password")
    refuse_login(given.all("--header"))
    folder = given.last("-P", "--directory-prefix") or ""
    target = given.last("-O", "--output-document")
    addresses = list(given.rest)
    if (listed := given.last("-i", "--input-file")) is not None:
        addresses += _listed(call, tree, listed)
    if not addresses:
        raise Unreadable(t("it names no address"))
    if target is not None and len(addresses) > 1:
        raise Unreadable(t("several addresses go into one file"))
    if target is None and "--content-disposition" in names:
        for address in addresses:
            origin = FileOrigin(clean_address(address), call.line, optional=call.optional)
            tree.unnamed.append((located(call.cwd, folder or "."), origin))
        return None
    found: Outcome = None
    for address in addresses:
        # -O does not go into the folder of -P.
        found = _bring(call, tree, address, target, "" if target is not None else folder)
    return found


def _nc(argv: Sequence[str]) -> list[str]:
    """wget's options of two letters, which are no clusters of others."""
    return [
        item for item in argv if item not in {"-nc", "-nv", "-nd", "-nH", "-np", "-qc", "-N", "-q4"}
    ]


def _login(given: _Options, names: Collection[str], *login: str) -> None:
    if found := sorted(set(names) & set(login)):
        raise Unreadable(t("{option}: it needs a login, which no manifest holds", option=found[0]))


def refuse_login(headers: Sequence[str]) -> None:
    """Raise Unreadable where a header is a login."""
    for text in headers:
        if re.match(r"\s*(authorization|cookie|x-api-key)\s*:", text, re.IGNORECASE):
            raise Unreadable(t("it sends a login, which no manifest holds"))


def _listed(call: Call, tree: TargetTree, name: str) -> list[str]:
    if name == "-":
        text = call.stdin if isinstance(call.stdin, str) else None
    else:
        text = tree.texts.get(located(call.cwd, name))
    if text is None:
        raise Unreadable(t("the addresses stand in {name}", name=visible(name)))
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


_CURL_VALUES = frozenset(
    [
        "-o",
        "--output",
        "--output-dir",
        "-H",
        "--header",
        "-A",
        "--user-agent",
        "-e",
        "--referer",
        "-C",
        "--continue-at",
        "--retry",
        "--retry-delay",
        "--retry-max-time",
        "-m",
        "--max-time",
        "--connect-timeout",
        "-x",
        "--proxy",
        "-u",
        "--user",
        "-X",
        "--request",
        "-d",
        "--data",
        "--data-raw",
        "--data-binary",
        "-F",
        "--form",
        "-b",
        "--cookie",
        "-c",
        "--cookie-jar",
        "-w",
        "--write-out",
        "-r",
        "--range",
        "--limit-rate",
        "-T",
        "--upload-file",
        "--cacert",
        "-E",
        "--cert",
        "--url",
        "-K",
        "--config",
        "-y",
        "-Y",
        "--speed-limit",
        "--speed-time",
        "--max-redirs",
        "--resolve",
    ]
)


def _curl(call: Call, tree: TargetTree) -> Outcome:
    names: list[str] = []
    addresses: list[str] = []
    targets: list[str | None] = []
    given = options(call.argv, _CURL_VALUES)
    for name, value in given.pairs:
        names.append(name)
        if name in {"-o", "--output"}:
            targets.append(value)
        elif name in {"-O", "--remote-name"} and len(targets) < len(given.rest):
            targets.append(None)
        elif name == "--url":
            addresses.append(value)
    if not any(map(_is_drive, given.rest)):
        _login(given, names, "-b", "--cookie")
    _login(given, names, "-u", "--user", "-n", "--netrc")
    refuse_login(given.all("-H", "--header"))
    if wrong := {
        "-d",
        "--data",
        "--data-raw",
        "-F",
        "--form",
        "-T",
        "-K",
        "-r",
        "--range",
        "-I",
        "--head",
    } & set(names):
        raise Unreadable(t("{option} is not read", option=sorted(wrong)[0]))
    addresses = [*given.rest, *addresses]
    if "--remote-name-all" in names:
        targets += [None] * (len(addresses) - len(targets))
    if not addresses:
        raise Unreadable(t("it names no address"))
    folder = given.last("--output-dir") or ""
    if {"-J", "--remote-header-name"} & set(names) and not any(targets):
        for address in addresses:
            origin = FileOrigin(clean_address(address), call.line, optional=call.optional)
            tree.unnamed.append((located(call.cwd, folder or "."), origin))
        return None
    found: Outcome = None
    for index, address in enumerate(addresses):
        target = targets[index] if index < len(targets) else "-"
        for one, place in _curl_globbed(address, target):
            found = _bring(call, tree, one, place, "" if place == "-" else folder)
    return found


def _curl_globbed(address: str, target: str | None) -> list[tuple[str, str | None]]:
    """curl's own `{a,b}` in addresses, with `#1` in the name."""
    found = re.fullmatch(r"([^{}\[\]]*)\{([^{}]+)\}([^{}\[\]]*)", address)
    if not found:
        return [(address, target)]
    return [
        (f"{found[1]}{part}{found[3]}", target.replace("#1", part) if target else target)
        for part in found[2].split(",")
    ]


_ARIA_VALUES = frozenset(
    [
        "-o",
        "--out",
        "-d",
        "--dir",
        "-i",
        "--input-file",
        "-x",
        "--max-connection-per-server",
        "-s",
        "--split",
        "-k",
        "--min-split-size",
        "-j",
        "--max-concurrent-downloads",
        "--header",
        "--console-log-level",
        "--checksum",
        "-m",
        "--max-tries",
        "--retry-wait",
        "-t",
        "--timeout",
        "--file-allocation",
        "--summary-interval",
        "--user-agent",
        "-U",
        "--download-result",
        "--http-user",
        "--http-passwd",
        "-l",
        "--log",
    ]
)


def _aria2c(call: Call, tree: TargetTree) -> Outcome:
    given = options(call.argv, _ARIA_VALUES)
    names = {name for name, _ in given.pairs}
    _login(given, names, "--http-user", "--http-passwd", "--load-cookies")
    refuse_login(given.all("--header"))
    folder, target = given.last("-d", "--dir") or "", given.last("-o", "--out")
    if (listed := given.last("-i", "--input-file")) is not None:
        return _aria_list(call, tree, listed, folder)
    addresses = [item for item in given.rest if "://" in item]
    if not addresses:
        raise Unreadable(t("it names no address"))
    if "-Z" in names or "--force-sequential" in names:
        for address in addresses:
            _bring(call, tree, address, None, folder)
        return None
    _bring(call, tree, addresses[0], target, folder)
    checksum = given.last("--checksum") or ""
    path = join(located(call.cwd, folder or "."), target or file_name(addresses[0]))
    if found := re.fullmatch(r"sha-256=([0-9a-fA-F]{64})|md5=([0-9a-fA-F]{32})", checksum):
        tree.state(path, "sha256" if found[1] else "md5", (found[1] or found[2]).lower())
    origin = tree.files.get(path)
    if isinstance(origin, FileOrigin) and addresses[1:]:
        tree.files[path] = replace(origin, mirrors=tuple(map(clean_address, addresses[1:])))
    return None


def _aria_list(call: Call, tree: TargetTree, name: str, folder: str) -> Outcome:
    """A list of addresses, each with indented `out=` and `dir=` lines behind it."""
    text = (
        call.stdin
        if name == "-" and isinstance(call.stdin, str)
        else tree.texts.get(located(call.cwd, name))
    )
    if text is None:
        raise Unreadable(t("the addresses stand in {name}", name=visible(name)))
    blocks: list[tuple[str, dict[str, str]]] = []
    for line in text.splitlines():
        if line[:1].isspace() and blocks and "=" in line:
            key, _, value = line.strip().partition("=")
            blocks[-1][1][key] = value
        elif line.strip() and not line.startswith("#"):
            blocks.append((line.split("\t")[0].strip(), {}))
    for address, facts in blocks:
        _bring(call, tree, address, facts.get("out"), facts.get("dir", folder))
    return None


def _axel(call: Call, tree: TargetTree) -> Outcome:
    given = options(call.argv, {"-o", "--output", "-n", "--num-connections", "-s", "-H", "-U"})
    for address in given.rest:
        _bring(call, tree, address, given.last("-o", "--output"))
    return None


def _gdown(call: Call, tree: TargetTree) -> Outcome:
    given = options(
        call.argv, {"-O", "--output", "--id", "--proxy", "--speed", "--format", "--user-agent"}
    )
    names = {name for name, _ in given.pairs}
    where = [*given.rest, *(value for value in given.all("--id") if value)]
    if len(where) != 1:
        raise Unreadable(t("it names no file of Google Drive"))
    address = drive_address(where[0], folder="--folder" in names)
    target = given.last("-O", "--output")
    if target == "-":
        return _bring(call, tree, address, "-")
    origin = FileOrigin(address, call.line, optional=call.optional)
    if "--folder" in names or "/folders/" in address:
        tree.unnamed.append((located(call.cwd, target or "."), origin))
        if target is None:
            tree.remark(
                call.line, t("gdown makes a folder of the Drive folder's own name"), call.text
            )
        return None
    if (
        target is None
        or target.endswith("/")
        or target in {".", ".."}
        or tree.is_folder(located(call.cwd, target))
    ):
        tree.unnamed.append((located(call.cwd, target or "."), origin))
        return None
    tree.put(located(call.cwd, target), replace(origin, name=posixpath.basename(target)))
    return None


def drive_address(text: str, folder: bool = False) -> str:
    """The share address of a Google Drive id or address. Raises Unreadable."""
    found = re.search(r"(?:/d/|/folders/|[?&]id=)([\w-]{10,})", text)
    identifier = found[1] if found else text
    if not re.fullmatch(r"[\w-]{10,128}", identifier):
        raise Unreadable(t("{text} is no file of Google Drive", text=text))
    if folder or "/folders/" in text:
        return f"https://drive.google.com/drive/folders/{identifier}"
    return f"https://drive.google.com/file/d/{identifier}/view"


_HF_VALUES = frozenset(
    [
        "--local-dir",
        "--repo-type",
        "--revision",
        "--cache-dir",
        "--token",
        "--local-dir-use-symlinks",
        "--max-workers",
        "--format",
    ]
)


def _hf(call: Call, tree: TargetTree) -> Outcome:
    if call.argv[:1] in (
        ["login"],
        ["auth"],
        ["whoami"],
        ["version"],
        ["env"],
        ["scan-cache"],
        ["logout"],
    ):
        return None
    if call.argv[:1] != ["download"]:
        raise Unreadable(BY_HAND)
    given = options(call.argv[1:], _HF_VALUES, {"--include", "--exclude"})
    if not given.rest:
        raise Unreadable(t("it names no repository"))
    if given.last("--cache-dir") is not None:
        raise Unreadable(t("it goes into a cache of its own"))
    repo, *names = given.rest
    files = (*names, *manifest_patterns(given.all("--include")))
    origin = RepoOrigin(
        checked_repo(repo),
        call.line,
        checked_kind(given.last("--repo-type")),
        given.last("--revision") or "",
        files=files,
        exclude=manifest_patterns(given.all("--exclude")),
        optional=call.optional,
    )
    place_repo(tree, call.cwd, given.last("--local-dir"), origin)
    return None


def _modelscope(call: Call, tree: TargetTree) -> Outcome:
    """`modelscope download --model OWNER/NAME [FILE…] --local_dir DIR`."""
    argv = [word.replace("_", "-") if word.startswith("--") else word for word in call.argv]
    if argv[:1] == ["login"]:
        return None
    if argv[:1] != ["download"]:
        raise Unreadable(BY_HAND)
    valued = {"--model", "--dataset", "--local-dir", "--cache-dir", "--revision", "--token"}
    given = options(argv[1:], valued, {"--include", "--exclude"})
    repo, names = given.last("--model"), given.rest
    if given.last("--dataset") is not None:
        raise Unreadable(t("data sets of ModelScope are got by hand"))
    if repo is None:
        repo, *names = given.rest or [""]
    folder = given.last("--local-dir")
    if folder is None:
        raise Unreadable(t("it goes into a cache of its own"))
    origin = RepoOrigin(
        checked_repo(repo),
        call.line,
        revision=given.last("--revision") or "",
        files=(*names, *manifest_patterns(given.all("--include"))),
        exclude=manifest_patterns(given.all("--exclude")),
        optional=call.optional,
        hub="modelscope",
    )
    place_repo(tree, call.cwd, folder, origin)
    return None


def place_repo(tree: TargetTree, cwd: str, folder: str | None, origin: RepoOrigin) -> None:
    """A repository in a folder, or in the Hub's cache where none is named."""
    if folder is None:
        if origin not in tree.cached:
            tree.cached.append(origin)
        return
    tree.put_repo(located(cwd, folder), origin)


def checked_repo(text: str) -> str:
    """A repository's id. Raises Unreadable for what cannot be one."""
    from fetcher.sources.huggingface import REPO

    if not re.fullmatch(REPO, text):
        raise Unreadable(t("{text} is no repository of the Hub", text=visible(text)))
    return text


def checked_kind(text: str | None) -> str:
    """A repository's kind. Raises Unreadable."""
    kind = text or "model"
    if kind not in {"model", "dataset", "space"}:
        raise Unreadable(t("{text} is no kind of repository", text=kind))
    return kind


# --- git


def _gdrive(call: Call, tree: TargetTree) -> Outcome:
    """The program `gdrive` of earlier days."""
    given = options(call.argv, {"--path", "--service-account", "-c", "--config"})
    rest = given.rest[1:] if given.rest[:1] == ["files"] else given.rest
    if rest[:1] != ["download"] or len(rest) != 2:
        raise Unreadable(BY_HAND)
    address = drive_address(rest[1])
    origin = FileOrigin(address, call.line, optional=call.optional)
    tree.unnamed.append((located(call.cwd, given.last("--path") or "."), origin))
    return None


def _install(call: Call, tree: TargetTree) -> Outcome:
    """A package of the system that a script fetches and installs: it is none of the project's."""
    for name in call.argv:
        if not name.startswith("-"):
            install(call, tree, name)
    return None


def install(call: Call, tree: TargetTree, name: str) -> None:
    """Leave out a file that is fetched only to be run or installed. Raises Unreadable for that."""
    path = located(call.cwd, name)
    origin = tree.files.pop(path, None)
    if origin is not None:
        raise Unreadable(
            t("{path} is fetched and installed: install it by hand", path=visible(path))
        )


def _git(call: Call, tree: TargetTree) -> Outcome:
    argv = list(call.argv)
    while argv and argv[0] in {"-C", "-c"}:
        if argv[0] == "-C":
            call = replace(call, cwd=located(call.cwd, argv[1]))
        argv = argv[2:]
    if argv[:1] == ["lfs"]:
        return _git_lfs(replace(call, argv=argv[1:]), tree)
    if argv[:1] in (["config"], ["status"], ["log"], ["--version"], ["init"], ["rev-parse"]):
        return None
    if argv[:1] != ["clone"]:
        raise Unreadable(BY_HAND)
    return _clone(replace(call, argv=argv[1:]), tree)


def _clone(call: Call, tree: TargetTree) -> Outcome:
    given = options(
        call.argv,
        {
            "-b",
            "--branch",
            "--depth",
            "-o",
            "--origin",
            "-j",
            "--jobs",
            "-c",
            "--config",
            "--filter",
            "--reference",
        },
    )
    if not given.rest:
        raise Unreadable(t("it names no repository"))
    address, *target = given.rest
    found, hub = hub_repository(address), "huggingface"
    if found is None and (other := modelscope_repository(address)):
        found, hub = ("model", other), "modelscope"
    if found is None:
        own = posixpath.basename(address.rstrip("/")).removesuffix(".git")
        if own and not not_told(address):
            tree.folders.add(located(call.cwd, target[0] if target else own))
        raise Unreadable(
            t("a repository of code: clone it by hand, or `fetch add {address}`", address=address)
        )
    kind, repo = found
    folder = target[0] if target else repo.rpartition("/")[2]
    origin = RepoOrigin(
        checked_repo(repo),
        call.line,
        kind,
        given.last("-b", "--branch") or "",
        optional=call.optional,
        hub=hub,
    )
    tree.put_repo(located(call.cwd, folder), origin)
    tree.folders.add(located(call.cwd, folder))
    if call.environment.get("GIT_LFS_SKIP_SMUDGE") not in {None, "", "0"}:
        tree.remark(
            call.line, t("it clones without the large files: choose with `files`"), call.text
        )
    return None


def _git_lfs(call: Call, tree: TargetTree) -> Outcome:
    if call.argv[:1] == ["clone"]:
        return _clone(replace(call, argv=call.argv[1:]), tree)
    if call.argv[:1] in (["install"], ["track"], ["env"]):
        return None
    if call.argv[:1] in (["pull"], ["fetch"], ["checkout"]):
        given = options(call.argv[1:], {"-I", "--include", "-X", "--exclude"})
        if not (given.all("-I", "--include") or given.all("-X", "--exclude")):
            return None
    raise Unreadable(t("choose with `files` in the manifest"))


# --- archives


def _unzip(call: Call, tree: TargetTree) -> Outcome:
    given = options(call.argv, {"-d", "-x", "-P", "-O", "-I"})
    names = {name for name, _ in given.pairs}
    if names & {"-l", "-t", "-v", "-Z"}:
        return None
    if wrong := names & {"-P", "-x"}:
        raise Unreadable(t("{option} is not read", option=sorted(wrong)[0]))
    if not given.rest:
        raise Unreadable(t("it names no archive"))
    archive, *members = given.rest
    _unpack(call, tree, archive, given.last("-d") or ".", int("-j" in names), members)
    if "-j" in names:
        why = t("it drops all folders of the archive: strip: 1 is taken, mend it for more")
        tree.remark(call.line, why, call.text)
    return None


def _unpack(
    call: Call,
    tree: TargetTree,
    archive: str,
    folder: str,
    strip: int = 0,
    members: Sequence[str] = (),
) -> None:
    into = located(call.cwd, folder)
    if not_told(posixpath.basename(archive)):
        archive = join(posixpath.dirname(archive), "*")
        archive = archive.removeprefix("/")
    path = located(call.cwd, archive)
    suffixes = ("", ".zip") if not posixpath.splitext(path)[1] else ("",)
    for suffix in suffixes:
        if tree.unpack(path + suffix, into, call.line, strip, members):
            return
    if tree.name_unnamed(path) and tree.unpack(path, into, call.line, strip, members):
        return
    raise Unreadable(t("{archive} is nothing that this file fetches", archive=visible(archive)))


def _tar(call: Call, tree: TargetTree) -> Outcome:
    argv = list(call.argv)
    if argv and not argv[0].startswith("-"):
        argv[0] = "-" + argv[0]
    # In a cluster, f may stand before other letters: tar itself takes the next word then.
    if argv and re.fullmatch(r"-[A-Za-z]*f[A-Za-z]+", argv[0]):
        argv[0] = argv[0].replace("f", "", 1) + "f"
    given = options(
        argv,
        {
            "-f",
            "--file",
            "-C",
            "--directory",
            "--strip-components",
            "--strip",
            "-I",
            "--use-compress-program",
            "--exclude",
            "--transform",
            "-T",
            "--xform",
        },
    )
    names = {name for name, _ in given.pairs}
    if not names & {"-x", "--extract", "--get"}:
        if names & {"-t", "--list"}:
            return None
        raise Unreadable(BY_HAND)
    if wrong := names & {"--exclude", "--transform", "--xform", "-T"}:
        raise Unreadable(t("{option} is not read", option=sorted(wrong)[0]))
    folder = given.last("-C", "--directory") or "."
    strip = given.last("--strip-components", "--strip") or "0"
    if not strip.isdigit():
        raise Unreadable(t("{option} is not read", option="--strip-components"))
    archive = given.last("-f", "--file") or "-"
    if archive == "-":
        _unpack_stdin(call, tree, folder, int(strip), given.rest)
    else:
        _unpack(call, tree, archive, folder, int(strip), given.rest)
    return None


def _unpack_stdin(
    call: Call, tree: TargetTree, folder: str, strip: int = 0, members: Sequence[str] = ()
) -> None:
    from fetcher.importers.target_tree import Unpacked

    if not isinstance(call.stdin, FileOrigin | HubFile):
        raise Unreadable(t("it unpacks what this file does not fetch"))
    tree.unpacked.append(
        Unpacked(call.stdin, located(call.cwd, folder), call.line, strip, tuple(members))
    )


def _gunzip(call: Call, tree: TargetTree) -> Outcome:
    given = options(call.argv, {"-S"})
    names = {name for name, _ in given.pairs}
    if "-c" in names or call.stdin is not None or not given.rest:
        if isinstance(call.stdin, FileOrigin | HubFile) and call.to == "|":
            return call.stdin  # tar sees by itself what it is packed with
        raise Unreadable(t("unpack it by hand"))
    for archive in given.rest:
        _unpack(call, tree, archive, posixpath.dirname(archive) or ".")
    return None


def _gzip(call: Call, tree: TargetTree) -> Outcome:
    unpacks = any(
        item in {"-d", "--decompress"} or re.fullmatch(r"-[a-z]*d[a-z]*", item)
        for item in call.argv
    )
    if not unpacks:
        raise Unreadable(BY_HAND)
    return _gunzip(replace(call, argv=[i for i in call.argv if i != "-d"]), tree)


def _seven_zip(call: Call, tree: TargetTree) -> Outcome:
    if call.argv[:1] not in (["x"], ["e"]):
        raise Unreadable(BY_HAND)
    folder = next((item[2:] for item in call.argv if item.startswith("-o")), ".")
    names = [item for item in call.argv[1:] if not item.startswith("-")]
    if call.argv[0] == "e" or not names:
        raise Unreadable(t("{option} is not read", option="7z e"))
    _unpack(call, tree, names[0], folder, members=names[1:])
    return None


def _unrar(call: Call, tree: TargetTree) -> Outcome:
    names = [item for item in call.argv if not item.startswith("-")]
    if names[:1] != ["x"] or len(names) < 2:
        raise Unreadable(BY_HAND)
    _unpack(call, tree, names[1], names[2] if len(names) > 2 else ".")
    return None


def _python_zipfile(call: Call, tree: TargetTree) -> Outcome:
    if call.argv[:1] not in (["-e"], ["--extract"]) or len(call.argv) < 2:
        raise Unreadable(BY_HAND)
    _unpack(call, tree, call.argv[1], call.argv[2] if len(call.argv) > 2 else ".")
    return None


# --- files


def _mkdir(call: Call, tree: TargetTree) -> Outcome:
    for name in options(call.argv, {"-m", "--mode"}).rest:
        path = located(call.cwd, name)
        while path:
            tree.folders.add(path)
            path = posixpath.dirname(path)
    return None


def _move(call: Call, tree: TargetTree, copy: bool = False) -> Outcome:
    given = options(call.argv, {"-t", "--target-directory", "-S", "--suffix"})
    into = given.last("-t", "--target-directory")
    if into:
        sources, target = given.rest, into
    else:
        sources, target = given.rest[:-1], "".join(given.rest[-1:])
    if not sources or not target:
        raise Unreadable(t("it names nothing to move"))
    end = located(call.cwd, target)
    if target.endswith("/") or into is not None or len(sources) > 1:
        tree.folders.add(end)
    for name in sources:
        path = located(call.cwd, name)
        if copy and name.endswith("/."):
            path = located(call.cwd, name[:-1] + "*")
        if not tree.is_unpacked(path):
            tree.name_unnamed(path)
        # wget keeps the query in a file's name.
        bare = path.partition("?")[0]
        if not (
            tree.carry(path, end, copy)
            or (bare != path and tree.carry(bare, end, copy))
            or move_members(tree, path, end, call.line, copy)
        ):
            raise Unreadable(_not_ours(tree, path, name))
    return None


def _not_ours(tree: TargetTree, path: str, name: str) -> object:
    for item in tree.unpacked:
        if not item.folder or path.startswith(item.folder + "/") or path == item.folder:
            return t(
                "{name} comes out of an archive: place its members by hand", name=visible(name)
            )
    for folder, _ in tree.repos:
        if not folder or path.startswith(folder + "/"):
            return t("{name} is part of a repository: place it by hand", name=visible(name))
    return t("{name} is nothing that this file fetches", name=visible(name))


def _copy(call: Call, tree: TargetTree) -> Outcome:
    return _move(call, tree, copy=True)


def _link(call: Call, tree: TargetTree) -> Outcome:
    given = options(call.argv, {"-t"})
    if len(given.rest) != 2:
        raise Unreadable(BY_HAND)
    source, target = given.rest
    end = located(call.cwd, target)
    # A link's own text is relative to the folder that it lies in.
    symbolic = any(name in {"-s", "--symbolic"} for name, _ in given.pairs)
    base = (
        posixpath.dirname(end)
        if symbolic and not tree.is_folder(end)
        else end
        if symbolic
        else call.cwd
    )
    if not (
        tree.carry(located(base, source), end, copy=True)
        or move_members(tree, located(base, source), end, call.line, copy=True)
    ):
        raise Unreadable(_not_ours(tree, located(base, source), source))
    return None


def _remove(call: Call, tree: TargetTree) -> Outcome:
    for name in options(call.argv, set()).rest:
        if not_told(posixpath.basename(name)):
            continue  # what has no known name was no file of the tree
        path = located(call.cwd, name)
        origin = tree.files.get(path)
        if tree.remove(path):
            why = t("{path} is fetched and removed again: it was left out", path=visible(path))
            tree.remark(origin.line if origin else call.line, why, call.text)
        elif origin is None:
            remove_members(tree, path)
    return None


def _cat(call: Call, tree: TargetTree) -> Outcome:
    names = [item for item in call.argv if item != "-"]
    if not names:
        return call.stdin if isinstance(call.stdin, str) else None
    texts = [tree.texts.get(located(call.cwd, name)) for name in names]
    if any(text is None for text in texts):
        if call.to not in {None, "|"}:
            raise Unreadable(t("parts are put together: name the joined file by hand"))
        return None
    return "".join(text or "" for text in texts)


def _echo(call: Call, tree: TargetTree) -> Outcome:
    words = list(call.argv)
    escapes, end = False, "\n"
    while words and re.fullmatch(r"-[neE]+", words[0]):
        flag = words.pop(0)
        escapes, end = escapes or "e" in flag, "" if "n" in flag else end
    text = " ".join(words)
    return (text.replace("\\n", "\n").replace("\\t", "\t") if escapes else text) + end


def _printf(call: Call, tree: TargetTree) -> Outcome:
    if not call.argv:
        return None
    form, words = call.argv[0].replace("\\n", "\n").replace("\\t", "\t"), list(call.argv[1:])
    if re.sub(r"%[sd%]", "", form).count("%"):
        return None
    out = ""
    while True:
        out += re.sub(r"%[sd]", lambda _: words.pop(0) if words else "", form)
        if not words or "%" not in form:
            return out


def _checksum(kind: str) -> Callable[[Call, TargetTree], Outcome]:
    def read(call: Call, tree: TargetTree) -> Outcome:
        given = options(call.argv, set())
        if not {name for name, _ in given.pairs} & {"-c", "--check"}:
            return None
        text = call.stdin if isinstance(call.stdin, str) else None
        if given.rest and given.rest[0] != "-":
            text = tree.texts.get(located(call.cwd, given.rest[0]))
        if text is None:
            raise Unreadable(t("its list of digests is not here"))
        for line in text.splitlines():
            found = re.fullmatch(r"([0-9a-fA-F]{32,64}) [ *]?(.+)", line.strip())
            if found:
                tree.state(located(call.cwd, found[2].strip()), kind, found[1].lower())
        return None

    return read


def _object_store(call: Call, tree: TargetTree) -> Outcome:
    """`aws s3 cp`, `gsutil cp`, `gcloud storage cp` of one public object."""
    argv = [item for item in call.argv if item not in {"s3", "storage", "-m"}]
    given = options(argv, {"--profile", "--region", "--endpoint-url"})
    names = {name for name, _ in given.pairs}
    if (
        given.rest[:1] != ["cp"]
        or len(given.rest) != 3
        or names & {"--recursive", "-r", "-R", "--endpoint-url", "--profile"}
    ):
        raise Unreadable(BY_HAND)
    _, source, target = given.rest
    found = re.fullmatch(r"(s3|gs)://([^/]+)/(.+)", source)
    if not found or is_pattern(source):
        raise Unreadable(BY_HAND)
    host = (
        f"{found[2]}.s3.amazonaws.com" if found[1] == "s3" else f"storage.googleapis.com/{found[2]}"
    )
    folder = target.endswith("/") or target == "." or tree.is_folder(located(call.cwd, target))
    name = join(target.rstrip("/"), posixpath.basename(found[3])) if folder else target
    return _bring(call, tree, f"https://{host}/{found[3]}", name)


def _xargs(call: Call, tree: TargetTree) -> Outcome:
    if not isinstance(call.stdin, str):
        raise Unreadable(t("what it reads is not known"))
    argv = list(call.argv)
    count, replaced = 0, ""
    while argv and argv[0].startswith("-"):
        flag = argv.pop(0)
        letter, value = flag[:2], flag[2:]
        if letter in {"-n", "-L", "-P", "-I", "-d"} and not value:
            value = argv.pop(0) if argv else ""
        if letter in {"-n", "-L"}:
            count = int(value) if value.isdigit() else 0
        elif letter == "-I":
            replaced = value
        elif letter not in {"-P", "-r", "-t"}:
            raise Unreadable(t("{option} is not read", option=flag))
    if replaced:
        for line in call.stdin.splitlines():
            if line.strip():
                words = [item.replace(replaced, line.strip()) for item in argv]
                run(replace(call, argv=words, stdin=None), tree)
        return None
    items = call.stdin.split()
    size = count or len(items) or 1
    for start in range(0, len(items), size):
        run(replace(call, argv=[*argv, *items[start : start + size]], stdin=None), tree)
    return None


def _tee(call: Call, tree: TargetTree) -> Outcome:
    text = call.stdin
    for name in options(call.argv, set()).rest:
        if isinstance(text, str):
            tree.texts[located(call.cwd, name)] = text
        elif text is not None:
            tree.put(located(call.cwd, name), text)
    return text


_PROGRAMS: dict[str, Callable[[Call, TargetTree], Outcome]] = {
    "wget": _wget,
    "wget2": _wget,
    "curl": _curl,
    "aria2c": _aria2c,
    "axel": _axel,
    "gdown": _gdown,
    "gdrive": _gdrive,
    "dpkg": _install,
    "rpm": _install,
    "installer": _install,
    "hf": _hf,
    "huggingface-cli": _hf,
    "modelscope": _modelscope,
    "git": _git,
    "git-lfs": _git_lfs,
    "unzip": _unzip,
    "tar": _tar,
    "bsdtar": _tar,
    "gunzip": _gunzip,
    "bunzip2": _gunzip,
    "unxz": _gunzip,
    "unzstd": _gunzip,
    "zcat": _gunzip,
    "gzip": _gzip,
    "bzip2": _gzip,
    "xz": _gzip,
    "7z": _seven_zip,
    "7za": _seven_zip,
    "unrar": _unrar,
    "python-zipfile": _python_zipfile,
    "mkdir": _mkdir,
    "mv": _move,
    "cp": _copy,
    "ln": _link,
    "rm": _remove,
    "cat": _cat,
    "echo": _echo,
    "printf": _printf,
    "tee": _tee,
    "xargs": _xargs,
    "sha256sum": _checksum("sha256"),
    "shasum": _checksum("sha256"),
    "md5sum": _checksum("md5"),
    "aws": _object_store,
    "gsutil": _object_store,
    "gcloud": _object_store,
}
