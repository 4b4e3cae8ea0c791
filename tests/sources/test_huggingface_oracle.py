"""Our own listing of a Hub repository against that of huggingface_hub, oldest and newest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fetcher.errors import Failure
from fetcher.sources.base import Request
from fetcher.sources.huggingface import HuggingFace
from tests.kit import Run, payload
from tests.oracles import CLIENTS, client
from tests.servers.hub import HubServer

TOKEN = "hf_secretsecret"
LIST = """
import json, sys
from huggingface_hub import HfApi
from huggingface_hub.utils import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.errors import EntryNotFoundError
api, answers = HfApi(), []
for repo, kind, revision, path in json.loads(sys.argv[1]):
    where = {"repo_type": kind, "revision": revision}
    try:
        commit = api.repo_info(repo, **where).sha
        entries = api.list_repo_tree(repo, path or None, recursive=True, **where)
        files = sorted(
            [e.path, e.size, e.lfs.sha256 if e.lfs else None, None if e.lfs else e.blob_id]
            for e in entries if hasattr(e, "blob_id")
        )
        answers.append([commit, files])
    except RevisionNotFoundError:
        answers.append("revision-not-found")
    except GatedRepoError:
        answers.append("gated")
    except RepositoryNotFoundError:
        answers.append("not-found")
    except EntryNotFoundError:
        answers.append("missing-upstream")
print(json.dumps(answers))
"""
ODD = (
    "a b/c d.txt",
    "한글/ü.bin",
    "per%41cent/%2F.txt",
    "h#ash/q?uery.txt",
    "plus+and&amp/e=q.txt",
    "quo'te/dou\"ble.txt",
    "[x]/{y}/(z)!$,;@.txt",
    "~tilde/.hidden/..dots",
    "smile/😀.safetensors",
    "sub/README.md",
    "sub2/README.md",
    ".gitattributes",
    "empty",
)


def add_odd(hub: HubServer, kind: str) -> str:
    files = {name: b"" if name == "empty" else name.encode() for name in ODD}
    return hub.add_repo("o/odd", files, kind)


def at_every_revision(hub: HubServer, kind: str) -> list[HuggingFace]:
    """A repository whose revisions differ, by each of their names, and by some that none has."""
    repo = f"o/revisions-{kind}"
    files = {"a": b"1", "w.safetensors": payload(2000)}
    first = hub.add_repo(repo, files, kind, xet=True)
    hub.add_commit(repo, {"a": b"2"}, "dev/branch+1", repo_type=kind)
    hub.add_commit(repo, {"a": b"3"}, "refs/pr/12", repo_type=kind)
    hub.add_commit(repo, {"b": b"4"}, "main", delete=["a"], repo_type=kind)
    hub.set_ref(repo, "v1.0", first, kind, tag=True)
    names = ("main", "dev/branch+1", "refs/pr/12", "v1.0", first, first[:7], "gone", "f" * 40)
    return [HuggingFace(repo, kind, name) for name in names]


def ours(run: Run, source: HuggingFace) -> Any:
    """As the oracle's program tells it."""
    try:
        found = source.resolve(Request(), run.network)
    except Failure as failure:
        code = failure.problem.code
        return "not-found" if failure.detail == "no-repository" else code
    start = f"{source.path}/" if source.path else ""
    files = sorted([start + f.path, f.size, f.sha256, f.git_blob] for f in found.files)
    return [found.revision, files]


@pytest.mark.parametrize("path", CLIENTS)
def test_the_same_files_or_the_same_refusal(
    tmp_path: Path, hub: HubServer, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.page_size = 4
    sources = []
    for kind in ("model", "dataset", "space"):
        add_odd(hub, kind)
        sources += [HuggingFace("o/odd", kind, path=below) for below in ("", *FOLDERS)]
        sources += at_every_revision(hub, kind)
    hub.add_repo("o/old", {f"f{n}": b"%d" % n for n in range(10)})
    hub.move_repo("o/old", "o/new")
    hub.add_repo("o/gated", {"w.safetensors": b"w"}, gated="manual")
    hub.add_repo("o/private", {"w.safetensors": b"w"}, private=True)
    hub.add_repo("alone", {"config.json": b"{}"})
    names = ("o/old", "o/new", "o/gated", "o/private", "o/nothing", "alone")
    sources += [HuggingFace(name) for name in names]
    sources += [HuggingFace("o/odd", path="no/such/folder"), HuggingFace("o/odd", path="sub3")]
    hub.add_token(TOKEN, private=["o/private"])
    asked = json.dumps([(s.repo, s.repo_type, s.revision, s.path) for s in sources])
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    for token in ("", TOKEN):
        theirs = json.loads(client(LIST, asked, path=path, HF_TOKEN=token))
        refusals = {answer for answer in theirs if isinstance(answer, str)}
        assert refusals == {"revision-not-found", "not-found", "missing-upstream"}
        run = Run(tmp_path / (token or "none"), hf_endpoint=hub.url, hf_token=token)
        for source, expected in zip(sources, theirs, strict=True):
            assert ours(run, source) == expected, (source, token)


FOLDERS = sorted({name.rpartition("/")[0] for name in ODD} - {""})


@pytest.mark.parametrize("path", CLIENTS)
def test_the_same_address_for_every_file(
    tmp_path: Path, hub: HubServer, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names and revisions are quoted alike, or at least so that the server reads the same."""
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    commit = add_odd(hub, "dataset")
    hub.set_ref("o/odd", "a/b", commit, "dataset")
    code = (
        "import json, sys; from huggingface_hub import hf_hub_url\n"
        "print(json.dumps([hf_hub_url('o/odd', name, repo_type='dataset', revision=revision)\n"
        "    for name, revision in json.loads(sys.argv[1])]))\n"
    )
    pairs = [(name, revision) for name in ODD for revision in ("main", "a/b", commit)]
    theirs = json.loads(client(code, json.dumps(pairs), path=path))
    run = Run(tmp_path, hf_endpoint=hub.url)
    for (name, revision), url in zip(pairs, theirs, strict=True):
        source = HuggingFace("o/odd", "dataset", revision)
        probe = source.access_probe(revision, name, run.network)
        assert probe is not None
        answers = [
            run.network.request(one, method="HEAD", follow=False) for one in (url, probe.url)
        ]
        first, second = answers
        assert first.status == second.status and first.status in {200, 302}, (url, probe.url)
        etag = "x-linked-etag"
        assert first.headers[etag] == second.headers[etag], (url, probe.url)
