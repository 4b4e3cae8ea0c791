"""Objects of a git repository on a server, by the person's git, in a bare repository of our own.

git gets no settings but ours: none of the person, of the machine or of a repository. It speaks the
one scheme of the address, asks nobody for a password, runs no hook and checks nothing out. Only
the commit, its trees and small blobs come at first; of the rest what is asked for, where a server
can do that.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

from fetcher.errors import Failure, from_os_error
from fetcher.fs.private_files import make_scratch
from fetcher.fs.safe_paths import printable
from fetcher.i18n import t
from fetcher.network.urls import origin_of, public_url

if TYPE_CHECKING:
    from fetcher.network.session import Network
    from fetcher.verify.host.child_process import Child

# Blobs of fewer bytes come with the trees: a pointer to Git LFS is one, and a link's target.
_SMALL = 1024
_BLOCK = 1 << 20
_LONGEST = 12 * 3600.0  # seconds for one call of git
_QUICK = 120.0
_ENTRY = re.compile(rb"(\d{6}) (blob|commit) ([0-9a-f]{40})\t(.+)", re.DOTALL)
_REF = re.compile(r"([0-9a-f]{40})\t(\S+)")
# How many objects one call asks for.
_BATCH = 20_000
_REMOTE = {"fetch", "ls-remote"}
_PAUSES = (1.0, 4.0, 15.0)  # seconds before a server is asked again


class TreeEntry(NamedTuple):
    """What stands at a path: `mode` as git writes it, `oid` of the blob or a submodule's commit."""

    mode: str
    oid: str


class GitObjects:
    """The objects of a repository; everything is asked for once, by whichever thread is first."""

    def __init__(self, url: str, network: Network) -> None:
        self.url = url
        self.network = network
        self.lock = threading.RLock()
        self._folder: str | None = None
        self._commits: set[str] = set()
        self._wanted: set[str] = set()
        self._there: dict[str, int] = {}  # sizes of the blobs that are in the repository

    # What is asked

    def revision(self, ref: str) -> str:
        """The commit at which a branch, a tag or HEAD stands. Raises Failure."""
        names = [ref] if ref.startswith("refs/") or ref == "HEAD" else [
            f"refs/tags/{ref}^{{}}", f"refs/tags/{ref}", f"refs/heads/{ref}"
        ]  # fmt: skip
        told = self._git(["ls-remote", "--quiet", "--", self._address, *names], _QUICK)
        found: dict[str, str] = {
            name: oid for oid, name in _REF.findall(told.decode("utf-8", "replace"))
        }
        for name in names:
            if name in found:
                return found[name]
        raise Failure(
            "revision-not-found",
            t("{url} has no branch or tag {ref!r}", url=public_url(self.url), ref=ref),
            t("name a branch, a tag, or all 40 digits of a commit"),
        )

    def tree(self, commit: str) -> dict[str, TreeEntry]:
        """All that a commit holds, by path; folders are not among it. Raises Failure."""
        with self.lock:
            self._bring(commit)
            listed = self._git(["ls-tree", "-r", "-z", "--full-tree", commit], _LONGEST)
        found = {}
        for row in listed.split(b"\0"):
            if not row:
                continue
            entry = _ENTRY.fullmatch(row)
            if entry is None:
                text = t("{url}: git lists what is no file", url=public_url(self.url))
                raise Failure("refused", text)
            # What is no UTF-8 becomes a name that is refused, with the others of its kind.
            path = entry[4].decode("utf-8", "surrogateescape")
            found[path] = TreeEntry(entry[1].decode(), entry[3].decode())
        return found

    def sizes(self) -> Mapping[str, int]:
        """Sizes in bytes of the blobs that have come, by their ids."""
        return self._there

    def want(self, oid: str) -> None:
        """Say that this blob will be asked for: many are fetched in one go."""
        with self.lock:
            self._wanted.add(oid)

    def blob(self, commit: str, oid: str) -> str:
        """The path of a file with a blob's bytes; it is nobody else's to change. Raises Failure."""
        with self.lock:
            self._bring(commit)
            path = self._path(oid)
            if not os.path.exists(path):
                self._wanted.add(oid)
                self._export_wanted(oid)
            if not os.path.exists(path):
                text = t("{url} has no blob {oid}", url=public_url(self.url), oid=oid)
                raise Failure("missing-upstream", text)
            return path

    def _export_wanted(self, oid: str) -> None:
        """All that is wanted and not here; this one alone, if the server lacks one of them."""
        wanted = [one for one in self._wanted if not os.path.exists(self._path(one))]
        try:
            self._export(wanted)
        except Failure as failure:
            if len(wanted) == 1 or failure.problem.code != "revision-not-found":
                raise
            self._wanted = {oid}
            self._export([oid])

    def _path(self, oid: str) -> str:
        return os.path.join(self._home(), "out", oid)

    # What git does

    def _home(self) -> str:
        """The scratch folder, beside the store if there is one: blobs can be linked from there."""
        with self.lock:
            return self._folder or self._make_home()

    def _make_home(self) -> str:
        partial = self.network.settings.store / "partial"
        try:
            folder = make_scratch(str(partial) if partial.is_dir() else "")
            os.mkdir(os.path.join(folder, "out"))
        except OSError as error:
            raise from_os_error(error, t("making a folder for git")) from error
        weakref.finalize(self, shutil.rmtree, folder, True)
        self._folder = folder
        self._git(["init", "--quiet", "--bare", "--template=", "r.git"], _QUICK)
        return folder

    def _bring(self, commit: str) -> None:
        """Have the commit with its trees and small blobs. Raises Failure."""
        if commit in self._commits:
            return
        self._home()
        self._fetch(["--depth=1", f"--filter=blob:limit={_SMALL}"], [commit])
        self._commits.add(commit)
        self._look()

    def _look(self) -> None:
        told = self._git(
            ["cat-file", "--batch-check", "--batch-all-objects", "--unordered"], _LONGEST
        )
        rows = (row.split() for row in told.decode("ascii", "replace").splitlines())
        self._there = {row[0]: int(row[2]) for row in rows if len(row) == 3 and row[1] == "blob"}

    def _fetch(self, options: Sequence[str], oids: Sequence[str]) -> None:
        asked = os.path.join(self._home(), "asked")
        Path(asked).write_text("".join(f"{oid}\n" for oid in oids), encoding="ascii")
        self._git(
            ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance",
             "--recurse-submodules=no", *options, "--stdin", "--", self._address],
            _LONGEST,
            Path(asked),
        )  # fmt: skip

    def _export(self, oids: Sequence[str]) -> None:
        """Write blobs to files of their own, after those that are not here were asked for."""
        missing = [oid for oid in oids if oid not in self._there]
        for at in range(0, len(missing), _BATCH):
            self._fetch(["--filter=blob:none"], missing[at : at + _BATCH])
        asked = Path(self._home(), "asked")
        asked.write_text("".join(f"{oid}\n" for oid in oids), encoding="ascii")
        child = self._start(["cat-file", "--batch", "--buffer"], asked)
        try:
            assert child.stdout is not None
            for oid, size in self._headers(child.stdout):
                self._write(child.stdout, oid, size)
        finally:
            child.kill()
            child.communicate()
        if missing:
            self._look()

    @staticmethod
    def _headers(stream: IO[bytes]) -> Iterator[tuple[str, int]]:
        """Id and size of each blob that follows; the reader takes its bytes."""
        while line := stream.readline(200):
            row = line.split()
            if len(row) == 3 and row[1] == b"blob":
                yield row[0].decode("ascii", "replace"), int(row[2])
            elif len(row) != 2:  # "missing"
                return

    def _write(self, stream: IO[bytes], oid: str, size: int) -> None:
        path, left = self._path(oid), size
        try:
            with open(f"{path}.part", "wb") as target:  # noqa: PTH123
                while left:
                    if self.network.ended:
                        raise Failure("network", t("interrupted"))
                    block = stream.read(min(_BLOCK, left))
                    if not block:
                        text = t("{url}: git broke off", url=public_url(self.url))
                        raise Failure("network", text)
                    target.write(block)
                    left -= len(block)
            os.replace(f"{path}.part", path)
        except OSError as error:
            raise from_os_error(error, t("writing what git has fetched")) from error
        stream.read(1)  # the newline after each

    @property
    def _address(self) -> str:
        return self.network.rewrite(self.url)

    def _git(self, arguments: Sequence[str], seconds: float, stdin: Path | None = None) -> bytes:
        """What git prints; a server is asked again after passing faults. Raises Failure."""
        waits = list(_PAUSES) if arguments[0] in _REMOTE else []
        while True:
            try:
                return self._git_once(arguments, seconds, stdin)
            except Failure as failure:
                if failure.problem.code != "network" or not waits or self.network.ended:
                    raise
                self.network.pause(waits.pop(0))

    def _git_once(self, arguments: Sequence[str], seconds: float, stdin: Path | None) -> bytes:
        from fetcher.verify.host import child_process

        child = self._start(arguments, stdin)
        try:
            printed = child_process.finish(child, seconds, lambda: self.network.ended)
        except TimeoutError:
            why = t("interrupted") if self.network.ended else t("git takes too long")
            raise Failure("network", why) from None
        if child.returncode:
            raise self._failure(printed.decode("utf-8", "replace"))
        return printed

    def _start(self, arguments: Sequence[str], stdin: Path | None = None) -> Child:
        from fetcher.verify.host import child_process

        remote = arguments[0] in _REMOTE
        if remote and self.network.offline:
            host = public_url(self._address)
            text = t("{host} is needed, but the network may not be used", host=host)
            raise Failure("offline", text)
        home = Path(self._home())
        repository = [] if arguments[0] == "init" else ["--git-dir=r.git"]
        try:
            return child_process.start(
                ["git", *repository, *arguments],
                folder=home,
                environ=self._environment(home, remote),
                stdin=stdin,
            )
        except FileNotFoundError as error:
            text = t("{url} needs the program git, which is not here", url=public_url(self.url))
            raise Failure("refused", text, t("install git")) from error
        except OSError as error:
            raise from_os_error(error, t("starting git")) from error

    def _environment(self, home: Path, remote: bool) -> dict[str, str]:
        from fetcher.verify.host.environment import clean_environment

        found = {
            "PATH": clean_environment().get("PATH", os.defpath),
            "HOME": str(home),
            "LC_ALL": "C",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_TERMINAL_PROMPT": "0",
            # Nothing is fetched behind our back: a server could have git ask anybody.
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_ALLOW_PROTOCOL": origin_of(self._address)[0] if remote else "none",
        }
        for name in ("SYSTEMROOT", "TEMP", "TMP"):  # Windows
            if name in os.environ:
                found[name] = os.environ[name]
        settings = {**_SETTINGS, **(self._remote_settings(found) if remote else {})}
        found["GIT_CONFIG_COUNT"] = str(len(settings))
        for number, (key, value) in enumerate(settings.items()):
            found[f"GIT_CONFIG_KEY_{number}"] = key
            found[f"GIT_CONFIG_VALUE_{number}"] = value
        return found

    def _remote_settings(self, environment: dict[str, str]) -> dict[str, str]:
        """Settings of requests; proxy and authorities go into the environment."""
        trust = self.network.trust()
        if trust.file:
            environment["GIT_SSL_CAINFO"] = trust.file
        if trust.folder:
            environment["GIT_SSL_CAPATH"] = trust.folder
        out = self.network.outgoing(self._address)
        environment["no_proxy"] = "" if out.proxy else "*"
        settings = {"http.proxy": out.proxy} if out.proxy else {}
        for name, value in out.headers:
            if name == "Authorization":
                # It is in no argument, which others may see, and goes to no other host.
                settings["http.extraHeader"] = f"Authorization: {_for_git(value)}"
                settings["http.followRedirects"] = "false"
        return settings

    def _failure(self, printed: str) -> Failure:
        url = public_url(self.url)
        lines = [line for line in printed.splitlines() if line.startswith(("fatal:", "error:"))]
        said = printable(re.sub(r"\?\S*|//[^/\s]*@", "", lines[-1] if lines else printed[-200:]))
        if re.search(
            r"Authentication failed|could not read Username|returned error: 40[13]", printed
        ):
            hint = t("if it is private, put a login for its host into ~/.netrc")
            return Failure("auth", t("{url}: git is not let in", url=url), hint)
        if re.search(r"not found|returned error: 404|does not exist", printed, re.I):
            return Failure("not-found", t("{url} is not there, or is private", url=url))
        if re.search(r"not our ref|unadvertised object|couldn't find remote ref", printed):
            text = t("{url} does not give that commit", url=url)
            return Failure("revision-not-found", text, t("name a branch or a tag"))
        text = t("{url}: git says: {said}", url=url, said=said)
        if re.search(r"returned error: 3\d\d", printed):
            # With a login git follows nobody: it would be shown to them.
            return Failure("refused", text, t("write the address that it leads to"))
        if re.search(r"returned error: 4(?!08|2[59])\d\d", printed):
            return Failure("refused", text)
        return Failure("network", text)


_SETTINGS = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "core.attributesFile": os.devnull,
    "core.excludesFile": os.devnull,
    "core.askPass": "",
    "credential.helper": "",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "protocol.version": "2",
    "submodule.recurse": "false",
    "http.followRedirects": "initial",
    "http.lowSpeedLimit": "1000",
    "http.lowSpeedTime": "60",
    "fetch.unpackLimit": "1",
    # Blobs are asked for by their ids: what is here says nothing of them.
    "fetch.negotiationAlgorithm": "noop",
}


def _for_git(value: str) -> str:
    """An Authorization header as servers of git take it: a token is a password there."""
    kind, _, token = value.partition(" ")
    if kind != "Bearer":
        return value
    from fetcher.network.credentials import basic

    return basic(("x-access-token", token))
