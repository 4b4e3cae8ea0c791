"""The person's own file: it outranks projects, and it alone allows them more than their folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fetcher.config import person
from fetcher.config.settings import load
from fetcher.errors import InvalidDocument, UsageError
from tests.conftest import Cli, write_project

SHA = "ab" * 32


@pytest.fixture
def own(hermetic: Path) -> Path:
    """Where the person's file lies."""
    path = hermetic / ".config" / "fetch" / "config.yaml"
    path.parent.mkdir(parents=True)
    return path


def test_it_outranks_the_project_and_not_the_environment(
    tmp_path: Path, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fetch.yaml").write_text("jobs: 2\nhf_endpoint: https://evil.example\n")
    (tmp_path / ".env").write_text("HF_ENDPOINT=https://worse.example\nFETCH_VERIFY_KEY=theirs\n")
    own.write_text("hf_endpoint: https://hub.example\nverify_key: keys/mine.pem\n")
    found = load(tmp_path)
    assert found.hf_endpoint == "https://hub.example"
    assert found.origin("hf_endpoint") == str(own)
    assert not found.is_from_project("hf_endpoint")
    assert found.verify_key == own.parent / "keys" / "mine.pem"
    assert found.jobs == 2 and found.is_from_project("jobs")
    monkeypatch.setenv("HF_ENDPOINT", "https://now.example")
    assert load(tmp_path).hf_endpoint == "https://now.example"


def test_a_project_cannot_allow_itself(tmp_path: Path, own: Path) -> None:
    (tmp_path / "fetch.yaml").write_text("allow: {links: [/]}\n")
    with pytest.raises(InvalidDocument, match="allow"):
        load(tmp_path)
    (tmp_path / "fetch.yaml").unlink()
    (tmp_path / ".env").write_text(f"FETCH_ALLOW_LINKS=/\nFETCH_CONFIG={tmp_path}/c.yaml\n")
    (tmp_path / "c.yaml").write_text("allow: {links: [/]}\n")
    assert load(tmp_path).allowed == person.Allowed()


def test_a_clone_is_not_taken_for_a_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: Path
) -> None:
    """Without a home `~` stays as it is: a folder of that name in the clone is no home."""
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    monkeypatch.delenv("HOME")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "~" / ".config" / "fetch").mkdir(parents=True)
    (tmp_path / "~" / ".config" / "fetch" / "config.yaml").write_text("allow: {local: [/]}\n")
    assert person.existing() is None


def test_a_file_that_anybody_may_write_is_nobodys_word(tmp_path: Path, own: Path) -> None:
    own.write_text("allow: {local: [/data]}\n")
    own.chmod(0o666)
    with pytest.raises(UsageError, match="written by everybody") as told:
        load(tmp_path)
    assert str(own) in told.value.hint
    own.chmod(0o644)
    assert load(tmp_path).allowed.local == (Path("/data"),)


def declare(root: Path, *ids: str) -> None:
    lines = "".join(f"  {name}: {{source: local:{name}}}\n" for name in ids)
    tree = "".join(f"  {name}/: {name}\n" for name in ids)
    write_project(root, "p", f"artifacts:\n{lines}", f"tree:\n{tree}")


def test_allow_and_deny(tmp_path: Path, own: Path, cli: Cli) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    own.write_text("# mine\njobs: 3  # few\n")
    clone = tmp_path / "clone"
    declare(clone, "codec")
    assert cli("config", "allow", cwd=clone).out.startswith("nothing")
    assert cli("config", "allow", "links", disk, cwd=clone).code == 0
    assert cli("config", "allow", "local", "../disk", cwd=clone).code == 0
    assert cli("config", "allow", "pickles", SHA, "a.B", "c.D", cwd=clone).code == 0
    assert cli("config", "allow", "pickles", SHA, "c.D", "e.F", cwd=clone).code == 0
    assert cli("config", "allow", "code", "codec", cwd=clone).code == 0
    found = load(clone).allowed
    assert found.links == found.local == (disk,)
    assert found.pickles == {SHA: ("a.B", "c.D", "e.F")}
    told = cli("config", "allow", "code", "codek", cwd=clone)
    assert told.code == 0 and "did you mean 'codec'?" in told.err
    assert cli("config", "deny", "code", "codek", cwd=clone).code == 0
    assert found.may_run(clone, "codec") and not found.may_run(tmp_path, "codec")
    assert found.may_lead_to(disk / "deeper") and not found.may_lead_to(tmp_path / "disk2")
    assert own.read_text().startswith("# mine\njobs: 3  # few\n")
    shown = cli("config", "allow", cwd=clone).out
    assert str(disk) in shown and "a.B c.D e.F" in shown and f"{clone} codec" in shown
    for kind, *what in (
        ("links", str(disk)), ("local", str(disk)), ("pickles", SHA), ("code", "codec"),
    ):  # fmt: skip
        assert cli("config", "deny", kind, *what, cwd=clone).code == 0, kind
        assert cli("config", "deny", kind, *what, cwd=clone).code == 2, kind
    assert load(clone).allowed == person.Allowed()
    assert load(clone).jobs == 3


@pytest.mark.parametrize("kind", person.FOLDERS)
def test_a_folder_need_not_be_there(tmp_path: Path, own: Path, cli: Cli, kind: str) -> None:
    """A store that is yet to be made is allowed as its hint says; a disk that is gone, denied."""
    own.write_text("allow: {links: [/gone/a, ~/b]}\n")
    cli("config", "deny", "links", "/gone/a")
    cli("config", "deny", "links", "~/b")
    assert load(tmp_path).allowed == person.Allowed()
    new = tmp_path / "new"
    assert cli("config", "allow", kind, new).code == 0
    assert getattr(load(tmp_path).allowed, kind) == (new,)
    assert cli("config", "deny", kind, new).code == 0
    assert load(tmp_path).allowed == person.Allowed()
    new.write_text("a file")
    assert cli("config", "allow", kind, new).code == 2


def test_code_of_a_project_that_is_gone(tmp_path: Path, own: Path, cli: Cli) -> None:
    """Another clone may come to lie in that folder."""
    clone = tmp_path / "clone"
    declare(clone, "a", "b")
    assert cli("config", "allow", "code", "a", "b", cwd=clone).code == 0
    clone.rename(tmp_path / "moved")
    assert cli("config", "deny", "code", clone).code == 0
    assert load(clone).allowed == person.Allowed()
    assert cli("config", "deny", "code", clone).code == 2


def test_a_file_that_is_kept_elsewhere_stays_a_link(tmp_path: Path, own: Path, cli: Cli) -> None:
    """Settings in a repository of the person's own, linked to from where they are looked for."""
    kept = tmp_path / "dotfiles.yaml"
    kept.write_text("jobs: 3\n")
    own.symlink_to(kept)
    assert cli("config", "allow", "links", tmp_path).code == 0
    assert own.is_symlink() and "links" in kept.read_text()


@pytest.mark.parametrize(
    "arguments",
    [
        *(("links",), ("links", "nowhere"), ("links", "/"), ("local", "~"), ("local", "~/..")),
        *(("pickles", "abc", "x"), ("pickles", SHA), ("code",)),
    ],
)
def test_what_cannot_be_allowed(arguments: tuple[str, ...], own: Path, cli: Cli) -> None:
    found = cli("config", "allow", *arguments)
    assert found.code == 2 and "hint:" in found.err
    assert not own.exists()


def test_variables_allow_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FETCH_ALLOW_LINKS", os.pathsep.join([str(tmp_path), "/data"]))
    found = load(tmp_path).allowed
    assert found.links == (tmp_path.resolve(), Path("/data"))
    monkeypatch.setenv("FETCH_ALLOW_LOCAL", "here")
    with pytest.raises(UsageError, match="whole path"):
        load(tmp_path)
