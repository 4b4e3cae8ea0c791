"""`local:` and mirrors in a manifest: no file of the person's is taken because a clone says so."""

from __future__ import annotations

import os
import stat
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from fetcher.errors import UsageError
from fetcher.models.discovery import Discovery
from tests.conftest import Cli, write_project
from tests.kit import sha256
from tests.servers.plain import FileServer

_Watch = Callable[[str, tuple[object, ...]], None]
_WATCH: dict[str, _Watch] = {}


def _hook(event: str, given: tuple[object, ...], watch: dict[str, _Watch] = _WATCH) -> None:
    if "now" in watch:
        watch["now"](event, given)


sys.addaudithook(_hook)  # it stays for good: longer than this module's names

SECRET = b"-----BEGIN OPENSSH PRIVATE KEY-----\nsecret\n"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A private key of the person's."""
    folder = tmp_path / "a person/.ssh"
    folder.mkdir(parents=True)
    (folder / "id_rsa").write_bytes(SECRET)
    (folder / "id_rsa").chmod(0o600)
    return folder / "id_rsa"


@pytest.fixture
def clone(tmp_path: Path, key: Path) -> Path:
    root = tmp_path / "clone"
    (root / "data").mkdir(parents=True)
    (root / "data/w.bin").write_bytes(b"w" * 99)
    return root


def declare(root: Path, source: str, more: str = "") -> None:
    write_project(root, "p", f"artifacts:\n  a: {{source: {source}{more}}}\n", "tree:\n  m/: a\n")


def nothing_taken(root: Path, hermetic: Path) -> None:
    for folder in (root / "m", hermetic / "store"):
        for path in folder.rglob("*"):
            assert not path.is_file() or SECRET not in path.read_bytes(), path


FORMS = ["{type: local, path: '../a person/.ssh/id_rsa'}", "'local:../a person/.ssh'",
         "{type: local, path: '%s'}", "local:link", "local:folder", "local:folder/id",
         "local:data/../folder"]  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_a_source_outside(cli: Cli, clone: Path, key: Path, hermetic: Path, form: str) -> None:
    """The manifest of a clone names ~/.ssh/id_rsa, by its path or through a link."""
    (clone / "link").symlink_to(key)
    (clone / "folder").mkdir()
    (clone / "folder/id").symlink_to(key)
    declare(clone, form.replace("%s", str(key)))
    for command in (["all"], ["lock"], ["plan"]):
        found = cli(*command, "--json", cwd=clone)
        assert found.code == 4 and "bad-path" in found.codes, (command, found)
        error = found.json["errors"][0]
        assert "outside the project" in error["message"]
        assert f"fetch config allow local '{key.parent}'" in error["hint"]
        assert error["artifact"] == "a"
    nothing_taken(clone, hermetic)


@pytest.mark.parametrize("form", FORMS)
def test_a_source_outside_that_the_lock_knows(
    cli: Cli, clone: Path, key: Path, hermetic: Path, form: str
) -> None:
    """The clone's fetch.lock has the file already, so that nothing is listed any more."""
    (clone / "link").symlink_to(key)
    (clone / "folder").mkdir()
    (clone / "folder/id").symlink_to(key)
    declare(clone, form.replace("%s", str(key)))
    assert cli("config", "allow", "local", key.parent, cwd=clone).code == 0
    assert cli("lock", cwd=clone).code == 0
    assert cli("config", "deny", "local", key.parent, cwd=clone).code == 0
    for command in (["all"], ["all", "--locked"], ["plan"], ["all", "--offline"]):
        found = cli(*command, "--json", cwd=clone)
        assert found.code == 4, (command, found)
    nothing_taken(clone, hermetic)


def test_the_hint_can_be_followed(cli: Cli, clone: Path, key: Path, tmp_path: Path) -> None:
    """No attack: a shared disk of data sets, allowed once; private files stay private."""
    declare(clone, f"{{type: local, path: '{key.parent}'}}")
    assert cli("config", "allow", "local", key.parent, cwd=clone).code == 0
    assert cli("all", cwd=clone).code == 0
    placed = clone / "m/id_rsa"
    assert placed.read_bytes() == SECRET
    assert stat.S_IMODE(placed.stat().st_mode) & 0o077 == 0, "as private as it was"
    assert str(key.parent) in cli("plan", cwd=clone).out
    for link in ("copy", "hardlink", "auto"):
        placed.unlink()
        assert cli("all", "--link", link, cwd=clone).code == 0
        assert stat.S_IMODE(placed.stat().st_mode) & 0o077 == 0, link
    for folder in (tmp_path / "bundle", clone / ".fetch"):
        cli("mirror", "export", folder) if folder.name == "bundle" else None
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o400, 0o644, 0o444])
@pytest.mark.parametrize("form", ["folder", "tar"])
def test_modes_are_never_widened(
    cli: Cli, clone: Path, tmp_path: Path, hermetic: Path, mode: int, form: str
) -> None:
    """A private file becomes readable for all in the store, the tree or a bundle."""
    (clone / "data/w.bin").chmod(mode)
    declare(clone, "local:data")
    assert cli("all", cwd=clone).code == 0
    out = tmp_path / ("b.tar" if form == "tar" else "b")
    assert cli("mirror", "export", out, cwd=clone).code == 0
    digest = sha256(b"w" * 99)
    places = [clone / "m/w.bin", hermetic / "store/blobs/sha256" / digest]
    places.append(out if form == "tar" else out / "blobs/sha256" / digest)
    for place in places:
        got = stat.S_IMODE(place.stat().st_mode)
        assert got & 0o044 & ~mode == 0, (place, oct(got))
        assert got & 0o400
    if form == "tar":
        with tarfile.open(out) as bundle:
            assert any(digest in member.name for member in bundle)
    os.umask(os.umask(0o022))


def test_a_link_inside_to_a_file_inside(cli: Cli, clone: Path) -> None:
    """No attack: links within the project's own data."""
    (clone / "data/v1.bin").symlink_to("w.bin")
    declare(clone, "local:data")
    assert cli("all", cwd=clone).code == 0 and (clone / "m/v1.bin").read_bytes() == b"w" * 99


@pytest.mark.parametrize("source", ["local:.git", "local:.git/config", "local:.fetch",
                                    "local:.env", "local:repo", "local:data/../.env"])  # fmt: skip
def test_secrets_of_the_clone_itself(cli: Cli, clone: Path, hermetic: Path, source: str) -> None:
    """.git/config and .env hold tokens of the person's: they would be packed into bundles."""
    for name in (".git/config", ".fetch/x", ".env"):
        (clone / name).parent.mkdir(exist_ok=True)
        (clone / name).write_bytes(b"#" + SECRET)
    (clone / "repo").symlink_to(".git")
    declare(clone, source)
    assert cli("all", cwd=clone).code == 4
    nothing_taken(clone, hermetic)
    declare(clone, "local:.", ", exclude: ['manifests/**', 'layouts/**', fetch.lock]")
    assert cli("all", cwd=clone).code == 0, "the folder around them may be taken, without them"
    nothing_taken(clone, hermetic)
    assert (clone / "m/data/w.bin").exists() and not (clone / "m/.env").exists()


@pytest.mark.parametrize("location", ["/etc", "../store", "~/store", "link"])
@pytest.mark.parametrize("where", ["manifest", "fetch.yaml", ".env"])
def test_a_mirror_outside(
    cli: Cli, clone: Path, tmp_path: Path, hermetic: Path, location: str, where: str
) -> None:
    """A folder of the person's is read as a mirror: what it has, by digest, comes out."""
    for store in (tmp_path / "store", hermetic / "store2"):
        (store / "blobs/sha256").mkdir(parents=True)
        (store / "blobs/sha256" / sha256(SECRET)).write_bytes(SECRET)
    (clone / "link").symlink_to(tmp_path / "store")
    mirror = f", mirrors: [{{type: mirror, location: {location}}}]" if where == "manifest" else ""
    declare(clone, "http://127.0.0.1:9/w", f", files: {{w: {{size: {len(SECRET)}, "
            f"sha256: {sha256(SECRET)}}}}}{mirror}")  # fmt: skip
    if where == "fetch.yaml":
        (clone / "fetch.yaml").write_text(f"mirrors: [{location}]\n")
    if where == ".env":
        (clone / ".env").write_text(f"FETCH_MIRRORS={location}\n")
    found = cli("all", cwd=clone)
    assert found.code != 0
    assert "outside the project" in found.err or "has '~', which nothing here replaces" in found.err
    nothing_taken(clone, hermetic)


def test_a_mirror_that_the_person_names(
    cli: Cli, clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No attack: --from, FETCH_MIRRORS, and a mirror that is allowed."""
    store = tmp_path / "store"
    (store / "blobs/sha256").mkdir(parents=True)
    (store / "blobs/sha256" / sha256(SECRET)).write_bytes(SECRET)
    known = f", files: {{w: {{size: {len(SECRET)}, sha256: {sha256(SECRET)}}}}}"
    declare(clone, "http://127.0.0.1:9/w", known)
    assert cli("all", "--from", store, "--into", tmp_path / "1", cwd=clone).code == 0
    monkeypatch.setenv("FETCH_STORE", str(tmp_path / "another"))
    monkeypatch.setenv("FETCH_MIRRORS", str(store))
    assert cli("all", "--into", tmp_path / "2", cwd=clone).code == 0
    monkeypatch.delenv("FETCH_MIRRORS")
    monkeypatch.setenv("FETCH_STORE", str(tmp_path / "third"))
    (clone / "fetch.yaml").write_text(f"mirrors: ['{store}']\n")
    assert cli("all", "--into", tmp_path / "3", cwd=clone).code != 0
    monkeypatch.setenv("FETCH_ALLOW_LOCAL", str(tmp_path / "store"))
    assert cli("all", "--into", tmp_path / "3", cwd=clone).code == 0


def test_adding_a_path_says_what_it_needs(cli: Cli, clone: Path, key: Path) -> None:
    """No attack: `fetch add PATH` is the person's word for now, and says what lasts."""
    (clone / "manifests").mkdir()
    found = cli("add", key, "--name", "x", "--yes", cwd=clone)
    assert found.code == 0, found
    assert "outside the project" in found.out and "fetch config allow local" in found.out
    assert cli("all", cwd=clone).code == 4
    assert cli("config", "allow", "local", key.parent, cwd=clone).code == 0
    assert cli("all", cwd=clone).code == 0


@pytest.mark.parametrize("text", ["file:///etc/passwd", "FILE:///etc/passwd", "file:/etc/passwd"])
def test_file_urls(cli: Cli, clone: Path, text: str) -> None:
    """A URL leads to a file of this machine."""
    declare(clone, f"{{type: url, url: '{text}'}}")
    assert cli("all", cwd=clone).code == 2


# Models in folders of a project


@pytest.fixture
def models(clone: Path, tmp_path: Path) -> Path:
    """A model of the person's, and the clone's own folder of models."""
    private = tmp_path / "private/llm"
    private.mkdir(parents=True)
    (private / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    (private / "model.safetensors").write_bytes(b"")
    (clone / "models").mkdir()
    return private


@pytest.mark.parametrize("link", ["m", "m/config.json", "o/m"])
def test_a_folder_of_models_leads_out(clone: Path, models: Path, link: str) -> None:
    """`fetcher.models` in a clone, whose models/ has links to what is the person's."""
    place = clone / "models" / link
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(models / "config.json" if link.endswith("json") else models)
    found = Discovery(clone, clone)
    with pytest.raises(UsageError, match="outside the project") as refused:
        found.find("o/m" if link == "o/m" else "m", "chat")
    assert f"fetch config allow local {models}" in refused.value.hint


def test_a_folder_of_models_elsewhere_may_be_allowed(
    cli: Cli, clone: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No attack: links to the person's models, allowed as the hint says, or by naming their
    folder; and links within the project."""
    (clone / "models/m").symlink_to(models)
    (clone / "kept").mkdir()
    (clone / "kept/config.json").write_text((models / "config.json").read_text())
    (clone / "models/inside").symlink_to("../kept")
    assert Discovery(clone, clone).find("inside", "chat").folder
    assert cli("config", "allow", "local", models, cwd=clone).code == 0
    assert Discovery(clone, clone).find("m", "chat").folder
    assert cli("config", "deny", "local", models, cwd=clone).code == 0
    monkeypatch.setenv("LOCAL_MODELS_DIR", str(clone / "models"))
    assert Discovery(clone, clone).find("m", "chat").folder


def test_a_link_is_adopted_by_a_hint(cli: Cli, clone: Path, key: Path, hermetic: Path) -> None:
    """Where the file is to stand, the clone has a link to a key; a hint would have it adopted."""
    (clone / "notes.txt").write_text("hello")
    (clone / "m").mkdir()
    (clone / "m/notes.txt").symlink_to(key)
    declare(clone, "local:notes.txt")
    for path in ("m/notes.txt", str(clone / "m/notes.txt"), "m/../m/notes.txt"):
        found = cli("adopt", path, "--as", "a/notes.txt", "--first-trust", cwd=clone)
        assert found.code == 4 and str(key) in found.err, found
    (clone / "m/notes.txt").unlink()
    nothing_taken(clone, hermetic)


@pytest.mark.parametrize("name", ["/dev/zero", "pipe", "."])
def test_what_is_adopted_is_a_file(cli: Cli, clone: Path, name: str) -> None:
    """A link to a device never ends, and a pipe never begins."""
    os.mkfifo(clone / "pipe")
    (clone / "m").mkdir()
    (clone / "m/w.bin").symlink_to(name if name != "pipe" else clone / "pipe")
    declare(clone, "local:data")
    found = cli("adopt", "m/w.bin", "--as", "a/w.bin", cwd=clone)
    assert found.code == 4 and "is no file" in found.err, found


def test_a_file_that_a_link_leads_to_is_adopted_by_its_own_name(
    cli: Cli, clone: Path, tmp_path: Path
) -> None:
    """No attack: the person's own link in the tree, and the line that the refusal prints."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk/w.bin").write_bytes(b"w" * 99)
    (clone / "m").mkdir()
    (clone / "m/w.bin").symlink_to(tmp_path / "disk/w.bin")
    declare(clone, "local:data")
    hint = cli("adopt", "m/w.bin", "--as", "a/w.bin", cwd=clone).err.partition("fetch adopt ")[2]
    assert hint.split() == [str(tmp_path / "disk/w.bin"), "--as", "a/w.bin"]
    assert cli("adopt", *hint.split(), cwd=clone).code == 0


@pytest.mark.parametrize(
    "link",
    ["m", "m/config.json", "o/m", "o", "models--o--m/snapshots", "models--o--m/snapshots/abcdef1",
     "models--o--m/refs", "m/adapter_config.json", "laid/config.json"],
)  # fmt: skip
def test_listing_models_reads_nothing_outside(
    cli: Cli, clone: Path, models: Path, monkeypatch: pytest.MonkeyPatch, link: str
) -> None:
    """To tell of what kind a model is, its configuration is read: here a file of the person's."""
    (models / "main").write_text("abcdef1")
    (models / "adapter_config.json").write_text("{}")
    write_project(
        clone, "p", "artifacts:\n  a: {source: local:data}\n", "tree:\n  models/laid/: a\n"
    )
    assert cli("all", cwd=clone).code == 0
    place = clone / "models" / link
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(models / place.name if link.endswith("json") else models)
    if place.parent.name == "m":
        (clone / "models/m/w.safetensors").write_bytes(b"w")
    seen: list[str] = []

    def opened(event: str, given: tuple[object, ...]) -> None:
        if event in {"open", "os.scandir", "os.listdir"} and isinstance(given[0], str):
            seen.append(os.path.realpath(given[0]))

    monkeypatch.setitem(_WATCH, "now", opened)
    for spec in Discovery(clone, clone).known():
        assert spec.kind == "other" or link == "m/adapter_config.json", spec
    if link in {"m", "m/config.json", "o/m", "m/adapter_config.json"}:
        with pytest.raises(UsageError, match="outside the project"):
            Discovery(clone, clone).find("m", "chat")
    monkeypatch.delitem(_WATCH, "now")
    assert seen and not [path for path in seen if path.startswith(str(models))], link


def test_a_link_in_the_way_is_named_with_what_it_leads_to(
    cli: Cli, clone: Path, key: Path, hermetic: Path
) -> None:
    """The run's own hint would have a key adopted under a harmless name."""
    with FileServer() as server:
        url = server.add("notes.txt", b"hello")
        write_project(clone, "p", f"artifacts:\n  a: {{source: '{url}'}}\n", "tree:\n  m/: a\n")
        (clone / "m").mkdir()
        (clone / "m/notes.txt").symlink_to(key)
        found = cli("all", cwd=clone)
    assert found.code == 4 and f"symlink to {key}" in found.err
    assert f"fetch adopt '{key}' --as a/notes.txt" in found.err
    (clone / "m/notes.txt").unlink()
    nothing_taken(clone, hermetic)
