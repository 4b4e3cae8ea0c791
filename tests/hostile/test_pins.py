"""Locks that say something else than their manifests; honest use beside."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fetcher
from fetcher.errors import LockError
from fetcher.mirror.bundle import open_bundle
from fetcher.mirror.document_pins import contradictions_of
from fetcher.project import lockfile, pins
from fetcher.project.lockfile import Lock, LockedArtifact, dumps, loads
from fetcher.project.manifest import Artifact
from fetcher.server.project_inventory import ProjectInventory
from fetcher.sources.base import FileEntry, Request, Source
from fetcher.sources.github import GitHub
from fetcher.sources.huggingface import HuggingFace
from fetcher.sources.url import Url
from fetcher.store.store import Store
from tests.conftest import Cli, write_project
from tests.kit import git_blob, sha256, tensors
from tests.servers.hub import HubServer
from tests.servers.plain import FileServer

GOOD, EVIL = tensors(3000, 1), tensors(3000, 2)
SMALL, EVIL_SMALL = b'{"a": 1}\n', b'{"a": 2}\n'
Entry = dict[str, Any]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with HubServer() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


@pytest.fixture
def commits(hub: HubServer) -> tuple[str, str]:
    """A genuine commit, and one that came later."""
    first = hub.add_repo("o/m", {"w.safetensors": GOOD, "config.json": SMALL})
    return first, hub.add_commit("o/m", {"w.safetensors": EVIL, "config.json": EVIL_SMALL})


def project(root: Path, source: str, more: str = "") -> None:
    write_project(root, "p", f"artifacts:\n  m: {{source: {source!r}{more}}}\n", "tree: {m/: m}\n")


def tamper(root: Path, change: Callable[[Entry], None]) -> None:
    """Change the one entry of a lock, as a pull request does that touches fetch.lock alone."""
    path = root / "fetch.lock"
    lock = json.loads(path.read_text())
    change(lock["manifests"]["p"]["m"])
    path.write_text(json.dumps(lock, indent=2))


def files(entry: Entry) -> dict[str, Entry]:
    return {file["path"]: file for file in entry["files"]}


EVERY = [
    ("all",),
    ("all", "--locked"),
    ("all", "--offline"),
    ("all", "--dry-run"),
    ("lock",),
    ("plan",),
    ("status",),
    ("check",),
    ("check", "--deep"),
    ("verify",),
    ("mirror", "export", "out.tar"),
    ("adopt", "other"),
    ("show", "m"),
]


def refused(cli: Cli, *command: str, values: tuple[str, ...]) -> None:
    result = cli(*command)
    assert result.code == 7, (command, result.err)
    for value in (*values, "manifests/p.yaml:", "fetch lock --update m", "fetch diff"):
        assert value in result.err, (command, value, result.err)


def test_another_revision_under_the_sources_text(
    tmp_path: Path, cli: Cli, commits: tuple[str, str]
) -> None:
    """The lock keeps `hf:o/m@COMMIT`, and has another commit with that one's true digests."""
    good, other = commits
    project(tmp_path, f"hf:o/m@{good}")
    assert cli("all").code == 0 and cli("all", "--locked").code == 0
    (tmp_path / "other").write_bytes(EVIL)

    def change(entry: Entry) -> None:
        entry["revision"] = other
        found = files(entry)
        found["w.safetensors"]["sha256"] = sha256(EVIL)
        found["config.json"].update(git_blob=git_blob(EVIL_SMALL), sha256=sha256(EVIL_SMALL))

    tamper(tmp_path, change)
    for command in EVERY:
        refused(cli, *command, values=(good, other))
    with pytest.raises(LockError, match=other):
        fetcher.open(tmp_path).status()
    with pytest.raises(LockError, match=other):
        fetcher.fetch(root=tmp_path)
    assert (tmp_path / "m/w.safetensors").read_bytes() == GOOD
    assert cli("lock", "--update", "m").code == 0
    assert cli("all", "--locked").code == 0 and cli("check", "--deep").code == 0
    assert (tmp_path / "m/w.safetensors").read_bytes() == GOOD


@pytest.mark.parametrize("stated", ["upper", "short", "tag"])
def test_revisions_that_the_name_cannot_stand_for(
    tmp_path: Path, cli: Cli, hub: HubServer, commits: tuple[str, str], stated: str
) -> None:
    """The lock has another commit than the shortened one that is stated; or, for a tag, a branch
    of the liar's, which can move at any time."""
    good, other = commits
    hub.set_ref("o/m", "v1", good)
    hub.set_ref("o/m", good[:12], good)
    hub.set_ref("o/m", good.upper(), good)
    name = {"upper": good.upper(), "short": good[:12], "tag": "v1"}[stated]
    project(tmp_path, f"hf:o/m@{name}")
    assert cli("all").code == 0 and cli("all", "--locked").code == 0
    wrong = "evil-branch" if stated == "tag" else other
    tamper(tmp_path, lambda entry: entry.update(revision=wrong))
    refused(cli, "all", values=(name, wrong))


def test_an_answer_that_does_not_keep_a_pin_is_not_locked(
    tmp_path: Path, cli: Cli, hub: HubServer, commits: tuple[str, str]
) -> None:
    """The repository has a branch that is called like the shortened commit."""
    good, other = commits
    hub.set_ref("o/m", good[:12], other)
    project(tmp_path, f"hf:o/m@{good[:12]}")
    for _ in range(2):
        result = cli("all")
        assert result.code == 3 and other in result.err and "pin the commit" in result.err
    assert not (tmp_path / "m").exists()
    project(tmp_path, f"hf:o/m@{good}")
    assert cli("all").code == 0


def test_a_branch_still_stands_for_any_commit(
    tmp_path: Path, cli: Cli, hub: HubServer, commits: tuple[str, str]
) -> None:
    """Honest: a lock of an older commit of a branch is what a lock is for."""
    older, newer = commits
    project(tmp_path, "hf:o/m@main")
    hub.set_ref("o/m", "main", older)
    assert cli("lock").code == 0
    hub.set_ref("o/m", "main", newer)
    assert cli("all", "--locked").code == 0
    assert (tmp_path / "m/w.safetensors").read_bytes() == GOOD


@pytest.mark.parametrize(
    ("fact", "value"),
    [
        ("sha256", sha256(EVIL)),
        ("sha256", None),
        ("size", 2999),
        ("size", None),
        ("md5", "0" * 32),
        ("md5", None),
    ],
)
def test_a_file_has_another_digest_or_size_than_the_manifest_states(
    tmp_path: Path, cli: Cli, hub: HubServer, commits: tuple[str, str], fact: str, value: object
) -> None:
    """The lock replaces a stated digest or size, or drops it, so that anything is taken."""
    md5 = hashlib.md5(GOOD).hexdigest()
    stated = {"sha256": sha256(GOOD), "size": len(GOOD), "md5": md5}
    facts = ", ".join(f"{key}: {text}" for key, text in stated.items())
    project(tmp_path, f"hf:o/m@{commits[0]}", f", files: {{w.safetensors: {{{facts}}}}}")
    assert cli("all").code == 0 and cli("all", "--locked").code == 0

    def change(entry: Entry) -> None:
        file = files(entry)["w.safetensors"]
        if value is None:
            del file[fact]
        else:
            file[fact] = value

    tamper(tmp_path, change)
    for command in (("all",), ("all", "--locked"), ("lock",), ("check", "--deep")):
        refused(cli, *command, values=(str(stated[fact]), str(value or "none")))
    (error,) = cli("all", "--json").json["errors"]
    assert (error["code"], error["artifact"], error["file"]) == (
        "lock-mismatch",
        "m",
        "w.safetensors",
    )
    assert cli("lock", "--update", "m").code == 0 and cli("all", "--locked").code == 0


def test_the_place_is_where_the_manifest_states_it(tmp_path: Path, cli: Cli) -> None:
    """The message leads to the line that is contradicted."""
    text = (
        "artifacts:\n  other: {source: 'https://127.0.0.1:1/x', files: {x: {size: 1}}}\n"
        "  m:\n    source: https://127.0.0.1:1/w.bin\n    count: 1\n    files:\n      w.bin:\n"
        f"        size: 3\n        sha256: {'a' * 64}\n"
    )
    write_project(tmp_path, "p", text, "tree: {m/: m, o/: other}\n")
    assert cli("lock").code == 0
    tamper(tmp_path, lambda entry: entry["files"][0].update(sha256="b" * 64))
    assert "manifests/p.yaml:10: the sha256 of w.bin" in cli("all").err


def test_count(tmp_path: Path, cli: Cli, commits: tuple[str, str]) -> None:
    """The lock adds a file of its own to a repository whose number of files is stated."""
    project(tmp_path, f"hf:o/m@{commits[0]}", ", count: 2")
    assert cli("all").code == 0

    def change(entry: Entry) -> None:
        entry["files"].append({"path": "modeling_x.py", "size": 3, "sha256": "b" * 64})

    tamper(tmp_path, change)
    refused(cli, "all", values=("2", "3"))
    assert cli("lock", "--update", "m").code == 0 and cli("check", "--deep").code == 0


def test_a_wrong_number_of_files_is_not_locked(
    tmp_path: Path, cli: Cli, commits: tuple[str, str]
) -> None:
    """Honest: a count that the source does not keep is the source's error, not the lock's."""
    project(tmp_path, f"hf:o/m@{commits[0]}", ", count: 3")
    for _ in range(2):
        result = cli("all", "--json")
        assert result.code == 4 and result.codes == {"count"}
    project(tmp_path, f"hf:o/m@{commits[0]}", ", count: 2")
    assert cli("all").code == 0


def test_what_contradicts_teaches_nothing(
    tmp_path: Path, cli: Cli, commits: tuple[str, str]
) -> None:
    """The lock gives a genuine git id a foreign sha256, and hopes that --update keeps it."""
    project(tmp_path, f"hf:o/m@{commits[0]}")
    assert cli("lock").code == 0

    def change(entry: Entry) -> None:
        entry["revision"] = commits[1]
        files(entry)["config.json"]["sha256"] = sha256(EVIL_SMALL)

    tamper(tmp_path, change)
    assert cli("lock", "--update", "m").code == 0
    assert sha256(EVIL_SMALL) not in (tmp_path / "fetch.lock").read_text()
    assert cli("all").code == 0 and (tmp_path / "m/config.json").read_bytes() == SMALL


def test_update_takes_the_manifest_even_without_an_answer(
    tmp_path: Path, cli: Cli, hub: HubServer, commits: tuple[str, str]
) -> None:
    """The lock is wrong and the source is away: what it says is not the second best."""
    project(tmp_path, f"hf:o/m@{commits[0]}")
    assert cli("lock").code == 0
    tamper(tmp_path, lambda entry: entry.update(revision=commits[1]))
    hub.stop()
    assert cli("all", "--update").code == 3
    assert not (tmp_path / "m").exists()


def test_an_edited_manifest_is_no_contradiction(
    tmp_path: Path, cli: Cli, commits: tuple[str, str]
) -> None:
    """Honest: who moves a pin in the manifest gets it resolved anew, and told under --locked."""
    project(tmp_path, f"hf:o/m@{commits[0]}")
    assert cli("all").code == 0
    project(tmp_path, f"hf:o/m@{commits[1]}")
    late = cli("all", "--locked")
    assert late.code == 7 and commits[0] in late.err and commits[1] in late.err
    assert cli("all").code == 0 and cli("all", "--locked").code == 0
    assert (tmp_path / "m/w.safetensors").read_bytes() == EVIL


def test_a_sealed_tree_sees_a_new_lock(tmp_path: Path, cli: Cli, commits: tuple[str, str]) -> None:
    """The tree was complete a moment ago, so nobody looks closely."""
    project(tmp_path, f"hf:o/m@{commits[0]}")
    assert cli("all").code == 0 and cli("all").code == 0
    tamper(tmp_path, lambda entry: entry.update(revision=commits[1]))
    assert cli("all").code == 7 and cli("status").code == 7


def test_control_characters_do_not_reach_the_terminal(
    tmp_path: Path, cli: Cli, commits: tuple[str, str]
) -> None:
    """The lock's revision turns text around, or is a megabyte long."""
    project(tmp_path, f"hf:o/m@{commits[0]}")
    assert cli("lock").code == 0
    tamper(tmp_path, lambda entry: entry.update(revision="\u202eevil" + "x" * 1_000_000))
    result = cli("all")
    assert result.code == 7 and "\u202e" not in result.err and len(result.err) < 3000


def test_a_bundle_whose_lock_contradicts_its_manifest(
    tmp_path: Path, cli: Cli, commits: tuple[str, str]
) -> None:
    """A bundle is made by other means: its list of digests is true, its lock is not."""
    stated = f", files: {{w.safetensors: {{sha256: {sha256(GOOD)}}}}}"
    project(tmp_path, f"hf:o/m@{commits[0]}", stated)
    assert cli("all").code == 0
    assert cli("mirror", "export", "b.tar").code == 0
    assert cli("mirror", "check", "b.tar").code == 0
    bundle = open_bundle(str(tmp_path / "b.tar"))
    try:
        assert contradictions_of(bundle.contents, "b") == []
        contents = bundle.contents
        other = b'"revision": "%s"' % commits[1].encode()
        lock = re.sub(rb'"revision": "[^"]*"', other, contents.documents["fetch.lock"])
        tampered = {**contents.documents, "fetch.lock": lock}
        wrong = replace(contents, documents=tampered)
        (problem,) = contradictions_of(wrong, "b.tar")
        assert problem.code == "lock-mismatch" and commits[1] in problem.message
        (held,) = contents.artifacts
        file = held.files[0]._replace(sha256=sha256(EVIL))
        wrong = replace(contents, artifacts=[replace(held, files=(file,))])
        (problem,) = contradictions_of(wrong, "b.tar")
        assert sha256(EVIL) in problem.message
        bundle.contents = replace(contents, documents=tampered)
        assert "lock-mismatch" in {problem.code for problem in bundle.structure()}
    finally:
        bundle.close()


def test_a_bundle_of_a_liar_comes_in_by_no_way(
    tmp_path: Path, cli: Cli, commits: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every digest of the bundle is true, but its lock gives the bytes another commit's name."""
    project(tmp_path, f"hf:o/m@{commits[0]}")
    assert cli("all").code == 0 and cli("mirror", "export", "good").code == 0
    tamper(tmp_path, lambda entry: entry.update(revision=commits[1]))
    with monkeypatch.context() as liar:
        liar.setattr(lockfile, "contradictions", lambda *_: iter(()))
        liar.setattr(pins, "contradictions", lambda *_: iter(()))
        assert cli("mirror", "export", "bad").code == 0
        assert cli("mirror", "check", "bad").code == 0
    store = tmp_path / "away"
    monkeypatch.setenv("FETCH_STORE", str(store))
    with FileServer() as server:
        server.add_folder(tmp_path / "bad", "/bad/")
        server.add_folder(tmp_path / "good", "/good/")
        for command in (
            ("mirror", "check", "bad"),
            ("mirror", "import", "bad", "--project", "new"),
            ("mirror", "push", "bad", "oci://127.0.0.1:1/x"),
            ("mirror", "pull", f"{server.url}/bad", "--project", "new"),
            ("serve", "bad", "--port", "0"),
        ):
            result = cli(*command)
            assert result.code == 7, (command, result.err)
            assert commits[0] in result.err and commits[1] in result.err, command
            assert "ask whoever made it" in result.err
        assert not (tmp_path / "new").exists() and not (store / "imported").exists()
        assert cli("mirror", "pull", f"{server.url}/good").code == 0
    assert cli("mirror", "import", "good", "--project", "new").code == 0
    assert cli("all", "--offline", "--locked", cwd=tmp_path / "new").code == 0


def test_what_is_served_keeps_what_the_manifest_states(
    tmp_path: Path, cli: Cli, commits: tuple[str, str]
) -> None:
    """A project of a mirror has a lock that gives a genuine commit's name to other bytes."""
    text = (
        f"artifacts:\n  m: {{source: 'hf:o/m@{commits[0]}', visibility: public}}\n"
        "  n: {source: 'hf:o/m@main', files: [config.json], visibility: public}\n"
    )
    write_project(tmp_path, "p", text, "tree: {m/: m, n/: n}\n")
    assert cli("all").code == 0
    store = Store(Path(os.environ["FETCH_STORE"]))
    honest = ProjectInventory(tmp_path, store)
    assert [item.id for item in honest.artifacts()] == ["m", "n"] and honest.problems == []
    tamper(tmp_path, lambda entry: entry.update(revision=commits[1]))
    served = ProjectInventory(tmp_path, store)
    assert [item.id for item in served.artifacts()] == ["n"]
    assert served.locate(sha256(GOOD)) is None and served.locate(sha256(EVIL_SMALL))
    assert ("p", "m") not in loads(served.documents()["fetch.lock"].decode()).artifacts
    (problem,) = served.problems
    assert "p/m is not served" in problem and commits[0] in problem and commits[1] in problem


HEX = "0123456789abcdef"
COMMITS = st.text(HEX, min_size=40, max_size=40)
STATED: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "size": st.integers(0, 2**40),
        "sha256": st.text(HEX, min_size=64, max_size=64),
        "md5": st.text(HEX, min_size=32, max_size=32),
    },
)


@st.composite
def pinned(draw: st.DrawFn) -> tuple[Artifact, LockedArtifact, list[LockedArtifact]]:
    """An artifact with pins, an entry that keeps them, and entries with one pin changed."""
    commit, other = draw(st.lists(COMMITS, min_size=2, max_size=2, unique=True))
    short = draw(st.integers(7, 40))
    source: Source = draw(
        st.sampled_from(
            [
                HuggingFace("o/m", revision=commit),
                HuggingFace("o/m", revision=commit[:short]),
                HuggingFace("o/m", revision=commit.upper()),
                HuggingFace("o/m", revision="main"),
                GitHub("o/m", ref=commit, path="data"),
                GitHub("o/m", release="v1"),
                Url("https://example.org/files/"),
            ]
        )
    )
    names = draw(st.lists(st.sampled_from("abcdef"), min_size=1, unique=True))
    known = {name: FileEntry(name)._replace(**draw(STATED)) for name in names}
    count = draw(st.none() | st.just(len(names)))
    artifact = Artifact("m", "p", source, request=Request(names, (), known), count=count)
    revision = "v1" if "release" in source.describe() else "" if source.type == "url" else commit
    # What nobody stated, a lock may add.
    files = [
        file._replace(
            size=draw(st.integers(0, 9)) if file.size is None else file.size,
            sha256=file.sha256 or draw(st.none() | st.text(HEX, min_size=64, max_size=64)),
        )
        for file in known.values()
    ]
    good = lockfile.locked(artifact, revision, files)
    wrong = [replace(good, revision="branch")]
    if getattr(source, "revision", getattr(source, "ref", "")).lower() == commit:
        wrong.append(replace(good, revision=other))
    if count is not None and len(files) > 1:
        wrong.append(replace(good, files=good.files[1:]))
    for index, file in enumerate(good.files):
        for fact in ("size", "sha256", "md5"):
            value = getattr(known[file.path], fact)
            if value is not None:
                changed = value + 1 if fact == "size" else value[1:] + HEX[HEX.index(value[0]) - 1]
                for lie in (None, changed) if changed != value else (None,):
                    change: dict[str, Any] = {fact: lie}
                    bad = file._replace(**change)
                    entries = [*good.files[:index], bad, *good.files[index + 1 :]]
                    wrong.append(replace(good, files=tuple(entries)))
        wrong.append(replace(good, files=(*good.files[:index], *good.files[index + 1 :])))
    return artifact, good, wrong


@given(pinned())
def test_no_lock_with_one_pin_changed_is_believed(
    case: tuple[Artifact, LockedArtifact, list[LockedArtifact]],
) -> None:
    """Any one of all pins is changed or left out in the lock."""
    artifact, good, wrong = case

    def read(entry: LockedArtifact) -> LockedArtifact | None:
        return loads(dumps(Lock({("p", "m"): entry}))).of(artifact)

    assert read(good) == good
    for entry in wrong:
        assert read(entry) is None, entry
