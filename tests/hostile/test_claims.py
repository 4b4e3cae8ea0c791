"""Projects and bundles that speak in the name of others' repositories; honest ones beside."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetcher.mirror.inventory import ArtifactRecord, HeldArtifact, SourceFields
from fetcher.server.claims import assembled
from fetcher.server.served_inventory import InventoryView, StoreLocation
from fetcher.server.tokens import Identity
from fetcher.sources.base import FileEntry
from fetcher.sources.huggingface import HuggingFace
from fetcher.store.project_records import remember
from tests.conftest import write_project
from tests.kit import git_blob, payload, sha256
from tests.oracles import OLDEST
from tests.server.kit import KEPT, Mirror, attempt, fetch, serving
from tests.servers.hub import HubServer

WEIGHTS = payload(200_000, 3)
FILES = {"config.json": b'{"a": 1}\n', "model.safetensors": WEIGHTS}
EVIL = {"config.json": b'{"evil": 1}\n', "model.safetensors": payload(200_000, 66)}
EXTRA = b"print('owned')\n"
OLD, OTHER = "d" * 40, "e" * 40


@dataclass
class Shared:
    """A store that everybody's projects on a machine share, and the Hub."""

    home: Path
    hub: HubServer
    commit: str

    @property
    def store(self) -> Path:
        return self.home / "store"

    def honest(self, name: str = "honest") -> Path:
        """A project that was fetched from the Hub."""
        root = self.home / name
        manifest = 'artifacts:\n  m: {source: "hf:o/m", visibility: public}\n'
        write_project(root, name, manifest, "tree:\n  m/: m\n")
        fetch(self.home, "all", "--quiet", cwd=root, HF_ENDPOINT=self.hub.url)
        return root

    def claiming(
        self,
        name: str,
        files: dict[str, bytes],
        commit: str = "",
        source: str = "hf:o/m@main",
        listed: dict[str, dict[str, str]] | None = None,
    ) -> Path:
        """A project whose lock claims this of a repository; its contents are in the store."""
        root = self.home / name
        (root / "manifests").mkdir(parents=True, exist_ok=True)
        text = f'artifacts:\n  m: {{source: "{source}", visibility: public}}\n'
        (root / f"manifests/{name}.yaml").write_text(f"manifest: {name}\n{text}")
        (root / "layouts").mkdir(exist_ok=True)
        (root / f"layouts/{name}.yaml").write_text(f"layout: {name}\ntree:\n  m/: m\n")
        entry = {
            "source": source,
            "revision": commit or self.commit,
            "files": [
                {"path": p, "size": len(d), "sha256": sha256(d), **(listed or {}).get(p, {})}
                for p, d in sorted(files.items())
            ],
        }
        lock = {"schema": "fetch.lock/1", "manifests": {name: {"m": entry}}}
        (root / "fetch.lock").write_text(json.dumps(lock))
        for folder in ("blobs/sha256", "projects"):
            (self.store / folder).mkdir(parents=True, exist_ok=True)
        (self.store / f"projects/{name}.json").write_text(json.dumps({"root": str(root)}))
        for data in files.values():
            path = self.store / "blobs/sha256" / sha256(data)
            if not path.exists():
                path.write_bytes(data)
        return root

    def serve(self, *arguments: str | Path, **more: str) -> AbstractContextManager[Mirror]:
        (self.home / "work").mkdir(exist_ok=True)
        return serving(self.home, *arguments, cwd=self.home / "work", **more)

    def whole(self, *arguments: str | Path, **more: str) -> AbstractContextManager[Mirror]:
        """A server over the whole store, of a person whose Hub is this one."""
        return self.serve("--store", self.store, *arguments, HF_ENDPOINT=self.hub.url, **more)


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Shared]:
    with HubServer() as hub:
        yield Shared(tmp_path, hub, hub.add_repo("o/m", FILES))


def genuine(mirror: Mirror, commit: str, files: dict[str, bytes]) -> None:
    """The repository is what its source gave, at the branch and at the commit."""
    for revision in ("main", commit):
        listed = mirror.ask(f"/api/models/o/m/tree/{revision}?recursive=1")
        assert sorted(item["path"] for item in listed.json()) == sorted(files)
        assert listed.headers["x-fetch-word"] == "source"
        for path, data in files.items():
            answer = mirror.ask(f"/o/m/resolve/{revision}/{path}")
            assert answer.body == data and answer.headers["x-fetch-word"] == "source"
        assert mirror.ask(f"/o/m/resolve/{revision}/modeling_x.py").status == 404
    assert mirror.ask("/api/models/o/m").json()["sha"] == commit
    assert [ref["name"] for ref in mirror.ask("/api/models/o/m/refs").json()["branches"]] == [
        "main"
    ]


def clients(home: Path, mirror: Mirror, revision: str) -> dict[str, dict[str, bytes]]:
    """What the newest and the oldest client of the Hub leave in an empty cache, by path."""
    script = (
        "import sys; from huggingface_hub import snapshot_download;"
        "print(snapshot_download('o/m', revision=sys.argv[1]))"
    )
    found = {}
    for name, path in {"newest": "", **({"oldest": OLDEST} if OLDEST else {})}.items():
        environment = {key: os.environ[key] for key in KEPT if key in os.environ}
        environment |= {"HOME": str(home), "HF_HOME": str(home / f"{name}-{revision}")}
        environment |= {"HF_ENDPOINT": mirror.url, **({"PYTHONPATH": path} if path else {})}
        done = subprocess.run(
            [sys.executable, "-c", script, revision],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        folder = Path(done.stdout.strip())
        found[name] = {
            item.relative_to(folder).as_posix(): item.read_bytes()
            for item in folder.rglob("*")
            if item.is_file()
        }
    return found


@pytest.mark.parametrize("order", list(itertools.permutations(["honest", "thief", "adder"])))
def test_a_project_does_not_speak_for_a_repository(shared: Shared, order: tuple[str, ...]) -> None:
    """Two projects claim another content, and one file more, at the genuine commit; their locks
    are the oldest or the newest."""
    roots = {
        "honest": shared.honest(),
        "thief": shared.claiming("thief", EVIL),
        "adder": shared.claiming("adder", {**FILES, "modeling_x.py": EXTRA}),
    }
    for age, name in enumerate(order):
        os.utime(roots[name] / "fetch.lock", (1_700_000_000 + age, 1_700_000_000 + age))
    with shared.whole() as mirror:
        genuine(mirror, shared.commit, FILES)
        assert mirror.ask(f"/blobs/sha256/{sha256(EXTRA)}").body == EXTRA, "by digest alone"
        assert "thief" in mirror.greeting and "--project DIR" in mirror.greeting
        assert mirror.says(f"{roots['thief']}: thief/m claims config.json")
        assert mirror.says(f"{roots['adder']}: adder/m claims modeling_x.py")
        for name in roots:
            assert mirror.ask(f"/projects/manifests/{name}.yaml").status == 404
        assert mirror.ask("/projects/fetch.lock").status == 404
        if order == ("honest", "thief", "adder"):
            for left in clients(shared.home, mirror, "main").values():
                assert left == FILES
    with shared.whole() as mirror:  # the server starts again
        genuine(mirror, shared.commit, FILES)
    work = shared.home / "work"
    checked = attempt(shared.home, "store", "check", cwd=work, HF_ENDPOINT=shared.hub.url)
    assert checked.returncode == 4
    assert str(roots["thief"]) in checked.stderr and str(roots["adder"]) in checked.stderr
    assert str(roots["honest"]) not in checked.stderr


def test_naming_a_project_does_not_make_it_the_source(shared: Shared) -> None:
    """The operator names a project whose lock adds a file to a commit that the source listed."""
    shared.honest()
    adder = shared.claiming("adder", {**FILES, "modeling_x.py": EXTRA})
    with shared.whole("--project", adder) as mirror:
        genuine(mirror, shared.commit, FILES)
        assert mirror.says("adder/m claims modeling_x.py of hf:o/m@main")
    with serving(shared.home, cwd=adder, HF_ENDPOINT=shared.hub.url) as mirror:
        assert mirror.ask("/o/m/resolve/main/config.json").body == FILES["config.json"]
        assert mirror.ask("/o/m/resolve/main/modeling_x.py").status == 404
        assert mirror.ask(f"/o/m/resolve/{shared.commit}/modeling_x.py").status == 404


def test_main_stands_where_the_source_said(shared: Shared) -> None:
    """A project claims that main is a commit of its own making; the operator names it."""
    shared.honest()
    thief = shared.claiming("thief", EVIL, OTHER)
    with shared.whole("--project", thief) as mirror:
        genuine(mirror, shared.commit, FILES)
        there = mirror.ask(f"/o/m/resolve/{OTHER}/config.json")
        assert there.body == EVIL["config.json"] and there.headers["x-fetch-word"] == "claim"
    with serving(shared.home, cwd=thief, HF_ENDPOINT=shared.hub.url) as mirror:
        assert mirror.ask("/o/m/resolve/main/config.json").code == "RevisionNotFound"


def test_a_project_that_is_named_is_shown_as_a_claim(shared: Shared) -> None:
    """The honest case: a lock came with a clone, nobody asked the source here. The hint of the
    greeting shows it; a second project does not add to it."""
    mine = shared.claiming("mine", FILES)
    shared.claiming("stranger", {"modeling_x.py": EXTRA})
    with shared.whole() as mirror:
        assert mirror.ask("/o/m/resolve/main/config.json").code == "RepoNotFound"
        assert "--project DIR shows one that you trust" in mirror.greeting
    with shared.whole("--project", mine) as mirror:
        answer = mirror.ask("/o/m/resolve/main/config.json")
        assert answer.body == FILES["config.json"] and answer.headers["x-fetch-word"] == "claim"
        assert mirror.ask("/o/m/resolve/main/modeling_x.py").status == 404
        assert mirror.ask("/projects/fetch.lock").status == 200
        for left in clients(shared.home, mirror, "main").values():
            assert left == FILES


def test_two_claims_of_one_path_are_both_refused(shared: Shared) -> None:
    """Two projects that the operator named contradict each other about a commit."""
    roots = [shared.claiming("one", FILES), shared.claiming("two", {**FILES, **EVIL, "x": b"x"})]
    for first, second in (roots, roots[::-1]):
        with shared.whole("--project", first, "--project", second) as mirror:
            for path in FILES:
                answer = mirror.ask(f"/o/m/resolve/{shared.commit}/{path}")
                said = answer.headers["x-error-message"]
                assert answer.status == 409 and all(str(root) in said for root in roots)
            assert mirror.ask(f"/o/m/resolve/{shared.commit}/x").status == 409
            assert mirror.ask(f"/blobs/sha256/{sha256(WEIGHTS)}").body == WEIGHTS
            assert all(str(root) in mirror.greeting for root in roots)
            assert mirror.says("claim two contents for config.json")
            assert mirror.ask("/projects/fetch.lock").status == 409
    checked = attempt(shared.home, "store", "check", cwd=roots[0])
    assert checked.returncode == 4 and all(str(root) in checked.stderr for root in roots)


def test_agreeing_claims_are_one(shared: Shared) -> None:
    """Beside it: what both claim alike is shown, what one has alone is not mixed in."""
    one = shared.claiming("one", FILES)
    two = shared.claiming("two", {**FILES, "modeling_x.py": EXTRA})
    with shared.whole("--project", one, "--project", two) as mirror:
        assert mirror.ask("/o/m/resolve/main/config.json").body == FILES["config.json"]
        answer = mirror.ask("/o/m/resolve/main/modeling_x.py")
        assert answer.status == 409 and "no listing" in answer.headers["x-error-message"]
        listed = mirror.ask("/api/models/o/m/tree/main").json()
        assert {item["path"] for item in listed} == FILES.keys()


def test_a_branch_that_two_claim_is_named_by_commit(shared: Shared) -> None:
    """Two projects that the operator named have main at two commits."""
    one, two = shared.claiming("one", FILES), shared.claiming("two", EVIL, OTHER)
    with shared.whole("--project", one, "--project", two) as mirror:
        answer = mirror.ask("/o/m/resolve/main/config.json")
        assert answer.status == 409 and "name the commit" in answer.headers["x-error-message"]
        assert mirror.ask("/api/models/o/m").status == 409
        assert mirror.ask("/api/models").status == 200
        assert mirror.ask(f"/o/m/resolve/{shared.commit}/config.json").body == FILES["config.json"]
        assert mirror.ask(f"/o/m/resolve/{OTHER}/config.json").body == EVIL["config.json"]


def test_a_name_of_two_projects_is_nobodys(shared: Shared, tmp_path: Path) -> None:
    """A project calls its manifest and artifact as another one does."""
    shared.claiming("p", FILES, source="hf:o/m@main")
    (tmp_path / "p").rename(tmp_path / "first")
    shared.claiming("p", EVIL, OTHER, source="hf:o/other@main")
    (tmp_path / "p").rename(tmp_path / "second")
    for name in ("first", "second"):
        note = shared.store / f"projects/{name}.json"
        note.write_text(json.dumps({"root": str(tmp_path / name)}))
    (shared.store / "projects/p.json").unlink()
    with shared.whole() as mirror:
        assert mirror.ask("/files/p/m/config.json").status == 409
        assert mirror.ask("/v2/p/m/manifests/latest").status == 409
        found = mirror.ask("/v2/all/manifests/latest").json()
        kinds = [item["artifactType"] for item in found["manifests"]]
        assert kinds == ["application/vnd.fetch.project.v1"], "nobody named them"
    with shared.whole("--project", tmp_path / "first") as mirror:
        assert mirror.ask("/files/p/m/config.json").body == FILES["config.json"]


def test_a_git_id_is_computed_before_clients_keep_bytes_under_it(shared: Shared) -> None:
    """A lock gives a genuine file's git id to other bytes: clients would keep these as that file,
    for every snapshot that has it."""
    listed = {"config.json": {"git_blob": git_blob(FILES["config.json"])}}
    thief = shared.claiming("thief", EVIL, OTHER, listed=listed)
    mine = shared.claiming("mine", FILES, listed=listed)
    flags = ("--project", thief, "--project", mine)
    with shared.whole(*flags) as mirror:
        evil = mirror.ask(f"/o/m/resolve/{OTHER}/config.json")
        assert evil.headers["etag"].strip('"') == sha256(EVIL["config.json"])
        true = mirror.ask(f"/o/m/resolve/{shared.commit}/config.json")
        assert true.headers["etag"].strip('"') == git_blob(FILES["config.json"])


def test_what_was_read_with_a_login_stays_its_readers(shared: Shared) -> None:
    """Somebody in the network asks for a repository that a run read with the person's token."""
    shared.hub.add_token("hf_me")
    root = shared.home / "mine"
    write_project(root, "mine", 'artifacts:\n  m: {source: "hf:o/m"}\n', "tree:\n  m/: m\n")
    fetch(shared.home, "all", cwd=root, HF_ENDPOINT=shared.hub.url, HF_TOKEN="hf_me")
    with shared.whole() as mirror:
        genuine(mirror, shared.commit, FILES)
    with shared.whole("--trust-forwarded") as mirror:
        assert mirror.ask("/o/m/resolve/main/config.json").code == "RepoNotFound"
    with shared.whole("--trust-forwarded", "--project", root) as mirror:  # the operator shows it
        assert mirror.ask("/o/m/resolve/main/config.json").body == FILES["config.json"]


# Orders


def artifact(party: str, files: dict[str, bytes], commit: str, upstream: str = "") -> HeldArtifact:
    source = HuggingFace("o/m")
    return HeldArtifact(
        "p",
        "m",
        source.describe(),
        SourceFields.of_source(source),
        commit,
        tuple(FileEntry(p, len(d), sha256(d)) for p, d in files.items()),
        ArtifactRecord({"visibility": "public"}),
        upstream,
        party="" if upstream else party,
    )


PATHS = st.dictionaries(st.sampled_from(["a", "b", "c"]), st.sampled_from([b"1", b"2"]), max_size=3)
COMMITS = st.sampled_from(["a" * 40, "b" * 40])
CLAIMS = st.lists(st.tuples(st.sampled_from("xyz"), PATHS, COMMITS), max_size=5)


@given(st.tuples(PATHS, COMMITS), CLAIMS, st.randoms())
def test_no_order_of_claims_changes_what_the_source_said(
    said: tuple[dict[str, bytes], str],
    claims: list[tuple[str, dict[str, bytes], str]],
    chance: object,
) -> None:
    """Any claims beside a source's word, in any order."""
    files, commit = said
    items = [artifact("", files, commit, "https://hub")]
    items += [artifact(party, claimed, at) for party, claimed, at in claims]
    shuffled = list(items)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    for order in (items, shuffled):
        repo = assembled("model", "o/m", order)
        shown = {path: file.sha256 for path, file in repo.snapshots[commit].files.items()}
        assert shown == {path: sha256(data) for path, data in files.items()}
        assert repo.refs["main"] == commit


@given(CLAIMS, st.randoms())
def test_claims_are_shown_as_far_as_all_agree(
    claims: list[tuple[str, dict[str, bytes], str]], chance: object
) -> None:
    """Any claims, with nobody's word to measure them by, in any order."""
    # A party has one lock: what it claims of a path last is what it claims.
    items = [artifact(party, claimed, at) for party, claimed, at in claims]
    shuffled = list(items)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    one, two = assembled("model", "o/m", items), assembled("model", "o/m", shuffled)
    for commit in {item.revision for item in items}:
        shown = one.snapshots[commit].files
        assert shown == two.snapshots[commit].files
        assert one.snapshots[commit].disputed.keys() == two.snapshots[commit].disputed.keys()
        for path, file in shown.items():
            for item in items:
                others = {entry.path: entry.sha256 for entry in item.files}
                if item.revision == commit and path in others:
                    assert others[path] == file.sha256


def test_a_broken_lock_of_somebodys_stops_no_server(shared: Shared) -> None:
    """A project that merely used the store has a half-merged lock; what it marked private while
    that could be read stays so."""
    genuine_root = shared.honest()
    other = shared.honest("other")
    (other / "fetch.lock").write_text("<<<<<<< HEAD\n")
    with shared.whole() as mirror:
        genuine(mirror, shared.commit, FILES)
        assert mirror.says(f"{other}: fetch.lock has git's conflict markers")
    told = attempt(shared.home, "store", "check", cwd=genuine_root, HF_ENDPOINT=shared.hub.url)
    assert told.returncode == 0 and str(other) in told.stderr

    secret = payload(5000, 4)
    third = shared.claiming("third", {"s.bin": secret}, commit=OLD, source="hf:o/secret@main")
    (shared.store / "projects/third.json").unlink()
    remember(shared.store, third, [sha256(secret)])
    (third / "fetch.lock").write_text("<<<<<<< HEAD\n")
    inventories = StoreLocation(shared.store, everything=True).open()
    view = InventoryView.of(inventories)
    assert not view.may_read(Identity(unmarked=True), sha256(secret)) and view.may_read(
        Identity(unmarked=True), sha256(WEIGHTS)
    )


def test_what_store_check_says_heals_a_false_lock(shared: Shared) -> None:
    """A lock that an older version learned from a false stamp has no git id any more."""
    root = shared.honest()
    lock = root / "fetch.lock"
    evil = payload(9, 7)
    shared.claiming("evil", {"x": evil})
    made = json.loads(lock.read_text())
    made["manifests"]["honest"]["m"]["files"][0] = {
        "path": "config.json",
        "size": 9,
        "sha256": sha256(evil),
    }
    lock.write_text(json.dumps(made))
    told = attempt(shared.home, "store", "check", cwd=root, HF_ENDPOINT=shared.hub.url)
    assert told.returncode == 4 and f"in {root}: fetch lock --update m" in told.stderr
    fetch(shared.home, "lock", "--update", "m", cwd=root, HF_ENDPOINT=shared.hub.url)
    fetch(shared.home, "all", cwd=root, HF_ENDPOINT=shared.hub.url)
    assert (root / "m/config.json").read_bytes() == FILES["config.json"]
