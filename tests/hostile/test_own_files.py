"""What fetch keeps for itself in a clone: no link has another file read, written or removed."""

from __future__ import annotations

import hashlib
import os
import shlex
import sqlite3
import struct
import time
from contextlib import closing
from pathlib import Path

import pytest

from fetcher.config import settings
from fetcher.errors import Failure, UsageError
from fetcher.reporting import saved
from fetcher.reporting.envelope import Answer
from fetcher.store.store import Store
from fetcher.tree.state import State
from tests.conftest import Cli, write_project
from tests.servers.hub import HubServer


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder of the person's, with files that attackers want."""
    found = tmp_path / "home of a person"
    found.mkdir()
    (found / "bashrc").write_text("mine")
    (found / "x.tmp").write_text("mine")
    (found / "0123.png").write_text("mine")
    os.utime(found / "x.tmp", (1, 1))
    return found


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    root = tmp_path / "clone"
    (root / "data").mkdir(parents=True)
    (root / "data/w.bin").write_bytes(b"w" * 99)
    write_project(root, "p", "artifacts:\n  a: {source: local:data}\n", "tree:\n  models/: a\n")
    return root


def mine(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*")}


@pytest.fixture(autouse=True)
def untouched(outside: Path) -> object:
    """Whatever a test does, the person's files stay as they are."""
    before = mine(outside), sorted((p.name, p.stat().st_mode) for p in outside.rglob("*"))
    yield None
    assert before == (mine(outside), sorted((p.name, p.stat().st_mode) for p in outside.rglob("*")))


@pytest.mark.parametrize(
    "name",
    [".fetch", ".fetch/state.db", ".fetch/state.db-journal", ".fetch/state.db-wal",
     ".fetch/state.db-shm"],
)  # fmt: skip
def test_the_state_is_a_link(cli: Cli, clone: Path, outside: Path, name: str) -> None:
    """SQLite would write into the file that the link leads to, or make a new one there."""
    (clone / name).parent.mkdir(exist_ok=True)
    (clone / name).symlink_to(outside if name == ".fetch" else outside / "bashrc")
    for command in (["all"], ["status"], ["check"], ["plan"]):
        found = cli(*command, cwd=clone)
        assert found.code == 4 and str(clone / name) in found.err, (command, found)
    (clone / name).unlink()
    assert cli("all", cwd=clone).code == 0, "what the hint says, helps"


def test_the_state_is_a_link_to_nothing(cli: Cli, clone: Path, outside: Path) -> None:
    """A new file would be made where the person's shell looks for one."""
    (clone / ".fetch").mkdir()
    (clone / ".fetch/state.db").symlink_to(outside / "bash_profile")
    assert cli("all", cwd=clone).code == 4


def journal_that_removes(database: Path, victim: Path) -> bytes:
    """A rollback journal of SQLite's that names `victim` as its super-journal.

    https://www.sqlite.org/fileformat2.html#the_rollback_journal: a header of one sector, then the
    number of the lock page, the name, its length, its checksum and the header's magic.
    """
    page, name = 4096, os.fsencode(victim)
    magic = bytes.fromhex("d9d505f920a163d7")
    pages = database.stat().st_size // page
    header = magic + struct.pack(">5I", 0, 1, pages, 512, page)
    lock_page = 0x40000000 // page + 1
    end = struct.pack(">II", len(name), sum(name)) + magic
    return header.ljust(512, b"\0") + struct.pack(">I", lock_page) + name + end


@pytest.mark.parametrize("command", ["all", "status", "check", "plan", "verify"])
def test_a_journal_names_a_file_to_remove(
    cli: Cli, clone: Path, outside: Path, command: str
) -> None:
    """The clone ships the journal of a transaction over several databases, of which SQLite would
    remove the "super-journal" that it names: any file of the person's."""
    assert cli("all", cwd=clone).code == 0
    state, journal = clone / ".fetch/state.db", clone / ".fetch/state.db-journal"
    crafted = journal_that_removes(state, outside / "bashrc")
    journal.write_bytes(crafted)
    assert cli(command, cwd=clone).code == 0
    assert (outside / "bashrc").exists() and not journal.exists()
    assert cli("all", cwd=clone).code == 0 and cli("check", cwd=clone).code == 0


def test_sqlite_would_follow_that_journal(cli: Cli, clone: Path, tmp_path: Path) -> None:
    """The case above is one: without our look at the journal, the file is gone."""
    assert cli("all", cwd=clone).code == 0
    state, victim = clone / ".fetch/state.db", tmp_path / "victim"
    victim.write_text("mine")
    Path(f"{state}-journal").write_bytes(journal_that_removes(state, victim))
    with closing(sqlite3.connect(state)) as database:
        database.execute("SELECT count(*) FROM files").fetchall()
    assert not victim.exists()


def test_our_own_journal_is_rolled_back(cli: Cli, clone: Path) -> None:
    """No attack: a run was killed in the middle of a transaction."""
    assert cli("all", cwd=clone).code == 0
    state, journal = clone / ".fetch/state.db", clone / ".fetch/state.db-journal"
    with closing(sqlite3.connect(state, isolation_level=None)) as database:
        database.execute("PRAGMA cache_spill = 1")
        database.execute("PRAGMA cache_size = 1")
        database.execute("BEGIN IMMEDIATE")
        database.execute("DELETE FROM files")
        database.executemany(
            "INSERT INTO seals (mark, found) VALUES (?, ?)",
            [(str(i), "x" * 4000) for i in range(99)],
        )
        kept = state.read_bytes(), journal.read_bytes()
    state.write_bytes(kept[0])
    journal.write_bytes(kept[1])
    assert [row.path for row in State(clone).rows().values()] == ["models/w.bin"]
    assert not (clone / ".fetch/state.db.damaged").exists()


@pytest.mark.parametrize("name", [".fetch/reports", ".fetch/reports/pictures"])
def test_reports_are_links(clone: Path, outside: Path, name: str) -> None:
    """Report pictures that no result names are removed: in a folder of the person's."""
    (clone / name).parent.mkdir(parents=True)
    (clone / name).symlink_to(outside)
    picture = b"\x89PNG"
    saved.keep_pictures(clone, {hashlib.sha256(picture).hexdigest(): picture})
    saved.keep_pictures(clone, {})
    saved.keep_results(clone, "verify", Answer(results=[{"artifact": "a"}]))
    if name == ".fetch/reports":
        with pytest.raises(Failure, match="is a symlink"):
            saved.save(clone, "bashrc", Answer())


def test_pictures_are_kept_and_removed(clone: Path) -> None:
    """No attack: what is not named any more goes."""
    picture = b"\x89PNG"
    digest = hashlib.sha256(picture).hexdigest()
    saved.save(clone, "verify", Answer(results=[{"pictures": [{"sha256": digest}]}]))
    saved.keep_pictures(clone, {digest: picture, "ab" * 32: b"no longer named"})
    assert os.listdir(clone / ".fetch/reports/pictures") == [f"{digest}.png"]
    assert saved.picture(clone, digest) == picture


@pytest.mark.parametrize(
    "name", ["fetch.lock", "fetch.yaml", ".env", "manifests/p.yaml", "layouts/p.yaml",
             "manifests/q.yaml", "fetch.golden.json"]
)  # fmt: skip
def test_documents_that_are_links_out_are_not_shown(
    cli: Cli, clone: Path, outside: Path, name: str
) -> None:
    """An error message would show lines of a private file to whoever reads a CI's log."""
    (outside / "bashrc").write_text("secret: [\n  token=hunter2: x\n")
    (clone / name).unlink(missing_ok=True)
    (clone / name).symlink_to(outside / "bashrc")
    command = ["verify"] if "golden" in name else ["all"]
    found = cli(*command, cwd=clone)
    assert found.code != 0 and "hunter2" not in found.out + found.err
    assert str(clone / name) in found.err and "symlink" in found.err
    (outside / "bashrc").write_text("mine")


def test_documents_may_be_links_inside(cli: Cli, clone: Path) -> None:
    """No attack: a project that keeps its lock and manifests elsewhere in its own folder."""
    (clone / "etc").mkdir()
    (clone / "manifests/p.yaml").rename(clone / "etc/p.yaml")
    (clone / "manifests/p.yaml").symlink_to("../etc/p.yaml")
    (clone / "fetch.lock").symlink_to("etc/lock")
    assert cli("all", cwd=clone).code == 0
    assert (clone / "fetch.lock").is_symlink() and (clone / "etc/lock").read_text()


def test_a_shared_manifest_may_be_allowed(cli: Cli, clone: Path, tmp_path: Path) -> None:
    """No attack: several projects share their manifests; the message says how to allow it."""
    shared = tmp_path / "shared"
    (clone / "manifests").rename(shared)
    (clone / "manifests").symlink_to(shared)
    found = cli("all", cwd=clone)
    assert found.code == 4
    assert cli("config", "allow", "links", shared, cwd=clone).code == 0
    assert cli("all", cwd=clone).code == 0


def test_a_settings_file_elsewhere_may_be_allowed(cli: Cli, clone: Path, tmp_path: Path) -> None:
    """No attack: one .env of the person's for several projects; the hint of the message works."""
    folder = tmp_path / "my settings"
    folder.mkdir()
    (folder / "env").write_text("FETCH_JOBS=3\n")
    (clone / ".env").symlink_to(folder / "env")
    found = cli("all", cwd=clone)
    assert found.code == 4 and f"fetch config allow links '{folder}'" in found.err
    assert cli("config", "allow", "links", folder, cwd=clone).code == 0
    assert cli("all", cwd=clone).code == 0
    assert settings.load(clone).jobs == 3


@pytest.mark.parametrize("name", ["manifests", "layouts"])
def test_registering_does_not_write_through_a_link(
    cli: Cli, clone: Path, outside: Path, name: str
) -> None:
    """`fetch add` would make files in a folder of the person's."""
    (clone / f"{name}/p.yaml").unlink()
    (clone / name).rmdir()
    (clone / name).symlink_to(outside)
    assert cli("add", "data", "--name", "x", "--yes", cwd=clone).code != 0


# A store that the project chose


@pytest.fixture
def chosen(clone: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The clone's fetch.yaml chooses a store; the person has said nothing."""
    monkeypatch.delenv("FETCH_STORE")
    (clone / "fetch.yaml").write_text("store: st\n")
    return clone / "st"


@pytest.mark.parametrize("name", [".", "partial", "imported", "blobs", "blobs/sha256", "stamps",
                                  "projects", "runs", "damaged", "index.json"])  # fmt: skip
def test_a_chosen_store_with_links(
    cli: Cli, clone: Path, chosen: Path, outside: Path, name: str
) -> None:
    """gc, recovery or a merge of stamps would remove and write files behind the link."""
    (chosen / name).parent.mkdir(parents=True, exist_ok=True)
    (chosen / name).symlink_to(outside)
    for command in (
        ["all"],
        ["gc"],
        ["gc", "--forget-imports"],
        ["store", "check"],
        ["store", "du"],
    ):
        assert cli(*command, cwd=clone).code != 0, command


def test_a_chosen_store_is_never_swept(
    cli: Cli, clone: Path, chosen: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a project calls a store, `fetch gc` would empty."""
    assert cli("all", cwd=clone).code == 0 and (chosen / "blobs/sha256").is_dir()
    extra = chosen / "blobs/sha256" / ("ab" * 32)
    extra.write_bytes(b"x")
    os.utime(extra, (1, 1))
    found = cli("gc", cwd=clone)
    assert found.code == 2 and "fetch.yaml" in found.err and f"FETCH_STORE={chosen}" in found.err
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 86_400)
    monkeypatch.setenv("FETCH_STORE", str(chosen))
    assert cli("gc", cwd=clone).code == 0 and not extra.exists(), "what the hint says, helps"


@pytest.mark.parametrize("text", ["..", "/tmp/x", "~/x", "../x", ".", "a/../.."])
@pytest.mark.parametrize("file", ["fetch.yaml", ".env"])
def test_a_store_elsewhere_is_the_persons_choice_alone(
    clone: Path, monkeypatch: pytest.MonkeyPatch, text: str, file: str
) -> None:
    """The clone names a folder of the person's as its store, or git's own."""
    monkeypatch.delenv("FETCH_STORE")
    form = "store: {}\n" if file == "fetch.yaml" else "FETCH_STORE={}\n"
    (clone / file).write_text(form.format(text))
    with pytest.raises(UsageError, match="only a folder of its own") as caught:
        _ = settings.load(clone).store
    assert "export FETCH_STORE=" in caught.value.hint


@pytest.mark.parametrize("name", ["partial", "imported", "blobs", "blobs/sha256", "runs"])
def test_following_the_hint_sweeps_nothing_behind_a_link(
    cli: Cli, clone: Path, chosen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The store that came with the clone links to the person's folder: once they name the store,
    as the hint says, gc would empty that."""
    victim = tmp_path / "theirs" / ("ab" * 32)
    victim.parent.mkdir()
    victim.write_bytes(b"mine")
    os.utime(victim, (1, 1))
    (chosen / name).parent.mkdir(parents=True, exist_ok=True)
    (chosen / name).symlink_to(victim.parent)
    monkeypatch.setenv("FETCH_STORE", str(chosen))
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 30 * 86_400)
    for command in (["gc"], ["gc", "--partial"], ["all"], ["store", "check"]):
        found = cli(*command, cwd=clone)
        assert found.code != 0 and "is a symlink" in found.err and "/./" not in found.err, command
    assert victim.read_bytes() == b"mine"


@pytest.mark.parametrize("where", ["st", "{}/st", "st/deep"])
def test_a_store_named_in_a_project_is_a_link(
    cli: Cli, clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """A person keeps the store where they stand; the clone has that name lead elsewhere."""
    theirs = tmp_path / "theirs"
    (theirs / "deep").mkdir(parents=True)
    (clone / "st").symlink_to(theirs)
    monkeypatch.setenv("FETCH_STORE", where.format(clone))
    for command in (["all"], ["gc"], ["store", "du"]):
        found = cli(*command, cwd=clone)
        assert found.code == 4 and f"is a symlink to {theirs}" in found.err, (command, found)
    assert [path.name for path in theirs.rglob("*")] == ["deep"]
    assert cli("config", "allow", "links", theirs, cwd=clone).code == 0
    assert cli("all", cwd=clone).code == 0, "what the hint says, helps"


def test_a_store_of_the_persons_own_may_have_links(
    cli: Cli, clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No attack: blobs on another disk, in a store outside any project."""
    store = tmp_path / "own store"
    store.mkdir()
    (tmp_path / "disk").mkdir()
    (store / "blobs").symlink_to(tmp_path / "disk")
    monkeypatch.setenv("FETCH_STORE", str(store))
    assert cli("all", cwd=clone).code == 0 and cli("gc", cwd=clone).code == 0


@pytest.mark.parametrize("text", [".git/st", ".fetch", "x/.git/modules", ".FETCH/st"])
def test_a_store_in_what_is_not_the_projects(
    clone: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """The clone names git's folder as its store, and the person follows a hint that allows it."""
    monkeypatch.delenv("FETCH_STORE")
    monkeypatch.setenv("FETCH_ALLOW_LINKS", str(clone))
    (clone / "fetch.yaml").write_text(f"store: {text}\n")
    with pytest.raises(UsageError, match="belongs to") as caught:
        _ = settings.load(clone).store
    assert "allow" not in caught.value.hint


@pytest.mark.parametrize("name", ["partial", "stamps"])
def test_what_lies_in_a_chosen_store_is_no_link(chosen: Path, outside: Path, name: str) -> None:
    """A partial file that is a link is written where it leads, ten minutes after the clone."""
    (chosen / name).mkdir(parents=True)
    (chosen / name / "a.part").symlink_to(outside / "bashrc")
    with pytest.raises(Failure, match="is a symlink"):
        Store.of(settings.load(chosen.parent))


def test_a_partial_file_that_is_a_link_is_not_gone_on_with(tmp_path: Path, outside: Path) -> None:
    """The same in any store: whoever can make a link there has another file written."""
    store = Store(tmp_path / "store")
    store.prepare()
    label = store.label_of("key")
    left = store.partial / f"{label}.elsewhere.1.ab-cd.part"
    left.symlink_to(outside / "bashrc")
    os.utime(left, (1, 1), follow_symlinks=False)
    part = store.claim_part("key")
    assert part.size == 0 and not Path(part.path).is_symlink()
    assert store.recover() == 0


def test_a_blob_that_is_a_link_is_none(tmp_path: Path, outside: Path) -> None:
    """It would be trusted, linked into trees and served as what it leads to at the time."""
    store = Store(tmp_path / "store")
    store.prepare()
    digest = hashlib.sha256(b"mine").hexdigest()
    Path(store.blob_path(digest)).symlink_to(outside / "bashrc")
    assert not store.has(digest)


# A Hugging Face cache that the project chose


@pytest.fixture
def cache(clone: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The clone's .env chooses a cache; the layout places o/m there."""
    monkeypatch.delenv("HF_HOME")
    (clone / ".env").write_text("HF_HUB_CACHE=hub\n")
    write_project(clone, "p", "artifacts:\n  m: {source: hf:o/m}\n", "tree: {}\nhub_cache: m\n")
    return clone / "hub"


@pytest.mark.parametrize(
    "name", [".", "models--o--m", "models--o--m/refs", "models--o--m/snapshots",
             "models--o--m/blobs", "models--o--m/.no_exist"]
)  # fmt: skip
@pytest.mark.parametrize("chosen_by", ["project", "person", "person, by where they stand"])
def test_a_chosen_cache_with_links(
    cli: Cli,
    clone: Path,
    cache: Path,
    outside: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    chosen_by: str,
) -> None:
    """`refs/main` would be written as ~/.bashrc, and snapshots into a folder of the person's:
    what lies in the clone came with it, whoever says that it is the cache."""
    if chosen_by != "project":
        (clone / ".env").unlink()
        monkeypatch.setenv("HF_HUB_CACHE", str(cache) if chosen_by == "person" else "hub")
    with HubServer() as hub:
        hub.add_repo("o/m", {"config.json": b"{}"})
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        (cache / name).parent.mkdir(parents=True, exist_ok=True)
        (cache / name).symlink_to(outside)
        found = cli("all", cwd=clone)
        if name.endswith(".no_exist"):  # a note that only is removed, if it can be
            return
        assert found.code != 0 and "symlink" in found.err
        (cache / name).unlink()
        assert cli("all", cwd=clone).code == 0
        assert (cache / "models--o--m/refs/main").read_text()


def test_a_ref_that_is_a_link(
    cli: Cli, clone: Path, cache: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ref itself leads to a file of the person's."""
    (cache / "models--o--m/refs").mkdir(parents=True)
    (cache / "models--o--m/refs/main").symlink_to(outside / "bashrc")
    with HubServer() as hub:
        hub.add_repo("o/m", {"config.json": b"{}"})
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        assert cli("all", cwd=clone).code == 0
    assert not (cache / "models--o--m/refs/main").is_symlink()


def test_a_cache_elsewhere_may_be_allowed(
    cli: Cli, clone: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No attack: the person's own .env names their cache on another disk."""
    disk = tmp_path / "disk"
    disk.mkdir()
    (clone / ".env").write_text(f"HF_HUB_CACHE={disk}/hub\n")
    with HubServer() as hub:
        hub.add_repo("o/m", {"config.json": b"{}"})
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        found = cli("all", cwd=clone)
        assert found.code == 2 and f"fetch config allow links {disk}/hub" in found.err
        assert cli("config", "allow", "links", disk, cwd=clone).code == 0
        assert cli("all", cwd=clone).code == 0
        assert (disk / "hub/models--o--m/refs/main").read_text()


# What a person names for output


@pytest.mark.parametrize("link", ["report.xml", "reports"])
def test_a_report_through_a_link_of_the_clone(
    cli: Cli, clone: Path, outside: Path, link: str
) -> None:
    """CI writes --junit reports/report.xml, and the clone has that as a link."""
    (clone / link).symlink_to(outside / "bashrc" if "." in link else outside)
    name = link if "." in link else f"{link}/bashrc"
    found = cli("check", "--junit", name, cwd=clone)
    assert found.code != 0 and "symlink" in found.err


def test_a_new_project_through_a_link_of_the_clone(
    cli: Cli, clone: Path, outside: Path, tmp_path: Path
) -> None:
    """The documents say `fetch init examples/own`, and examples/ is a link of the clone's."""
    (clone / "examples").symlink_to(outside)
    found = cli("init", "examples/own", cwd=clone)
    assert found.code == 4 and f"fetch config allow links {shlex.quote(str(outside))}" in found.err
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    assert cli("init", "link", cwd=tmp_path / "mine").code == 0, "no attack: not in a clone"


def test_a_folder_of_reports_elsewhere_may_be_allowed(
    cli: Cli, clone: Path, tmp_path: Path
) -> None:
    """No attack: the person's own link; what is named is the link, and the hint works."""
    assert cli("all", cwd=clone).code == 0
    disk = tmp_path / "disk"
    disk.mkdir()
    (clone / "all").mkdir()
    (clone / "all/reports").symlink_to(disk)
    (clone / "inside").symlink_to("all")
    command = ("check", "--junit", "inside/reports/new/report.xml")
    found = cli(*command, cwd=clone)
    assert f"{clone}/inside/reports is a symlink to {disk}, outside" in found.err
    assert f"fetch config allow links {disk}\n" in found.err
    assert cli("config", "allow", "links", disk, cwd=clone).code == 0
    assert cli(*command, cwd=clone).code == 0
    assert "<testsuite" in (disk / "new/report.xml").read_text()


def test_a_report_is_written_where_it_is_wanted(cli: Cli, clone: Path, tmp_path: Path) -> None:
    """No attack: reports in the project, in new folders, and elsewhere."""
    assert cli("all", cwd=clone).code == 0
    for path in (Path("out/new/report.xml"), tmp_path / "elsewhere/report.xml"):
        assert cli("check", "--junit", path, cwd=clone).code == 0
        assert "<testsuite" in (clone / path).read_text()


@pytest.mark.parametrize("link", [".", "blobs", "blobs/sha256", ".fetch-export"])
def test_an_export_into_a_folder_of_the_clone(
    cli: Cli, clone: Path, outside: Path, link: str
) -> None:
    """The folder that is exported into came with the clone, with links out of it."""
    assert cli("all", cwd=clone).code == 0
    place = clone / "out" / link
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(outside / "bashrc" if link == ".fetch-export" else outside)
    (clone / "out/.fetch-export").touch() if link.startswith("blobs") else None
    found = cli("mirror", "export", "out", "--overwrite", cwd=clone)
    if link == ".fetch-export" and found.code == 0:
        return  # the link itself was replaced
    assert found.code != 0


def test_a_bundles_volume_is_a_link(cli: Cli, clone: Path, outside: Path) -> None:
    """The partial file of a tar that is exported leads to a file of the person's."""
    assert cli("all", cwd=clone).code == 0
    for name in ("b.tar.partial", "b.tar.part", "b.tar"):
        (clone / name).symlink_to(outside / "bashrc")
    assert cli("mirror", "export", "b.tar", "--overwrite", cwd=clone).code != 0


def test_a_layout_that_is_no_file_is_named(cli: Cli, clone: Path, outside: Path) -> None:
    """The layout is a link to a device, or a FIFO: told as such, not as a name that is wrong."""
    layout = clone / "layouts/p.yaml"
    layout.unlink()
    for target in ("/dev/zero", str(outside / "none")):
        layout.symlink_to(target)
        found = cli("all", cwd=clone)
        assert found.code != 0 and f"is a symlink to {target}" in found.err, found
        layout.unlink()
    os.mkfifo(layout)
    found = cli("all", cwd=clone)
    assert found.code == 2 and "FIFO" in found.err and "did you mean" not in found.err


@pytest.mark.parametrize("where", ["fetch.log", "logs/fetch.log", "{}/fetch.log"])
def test_the_log_is_a_link(
    cli: Cli, clone: Path, outside: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """A person logs into the folder they stand in; the clone has that name lead to ~/.bashrc."""
    monkeypatch.setenv("FETCH_LOG", where.format(clone))
    if where.startswith("logs"):
        (clone / "logs").symlink_to(outside)
    else:
        (clone / "fetch.log").symlink_to(outside / "bashrc")
    for command in (["all"], ["status"], ["config"]):
        found = cli(*command, cwd=clone)
        assert found.code == 4 and "is a symlink to" in found.err, found


def test_the_log_may_lie_where_the_person_links_to(
    cli: Cli, clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No attack: a log in the project, and one behind a link of the person's own."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "mine.log").symlink_to(tmp_path / "logs/fetch.log")
    for where in ("fetch.log", str(tmp_path / "mine.log")):
        monkeypatch.setenv("FETCH_LOG", where)
        assert cli("status", cwd=clone).code in {0, 3}
    assert (clone / "fetch.log").is_file() and (tmp_path / "logs/fetch.log").is_file()
