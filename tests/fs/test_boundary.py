"""The border of a folder: judged by real folders, whatever the text says."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fetcher.errors import Failure
from fetcher.fs import boundary
from fetcher.fs.boundary import Boundary, OpenFolder, open_own, refuse_links, write_own


@pytest.fixture(params=["held open", "by names"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to go down: with open folders, and on systems that cannot."""
    if request.param == "by names":
        monkeypatch.setattr(boundary, "_can_hold", lambda: False)
    return str(request.param)


def refusal(tree: Boundary, folder: str) -> str:
    with pytest.raises(Failure) as caught:
        tree.open(folder)
    assert caught.value.problem.code == "bad-path"
    return f"{caught.value.message}; {caught.value.hint}"


def test_links_within_the_folder_are_followed(tmp_path: Path, way: str) -> None:
    (tmp_path / "data/deep").mkdir(parents=True)
    (tmp_path / "models").symlink_to("data")
    tree = Boundary(tmp_path)
    with tree.open("models/deep/new") as folder:
        Path(folder.at("x")).write_bytes(b"1")
        assert folder.path == str(tmp_path / "data/deep/new")
    assert (tmp_path / "data/deep/new/x").read_bytes() == b"1"
    assert tree.locate("models/not/there").absent


@pytest.mark.parametrize("target", ["../out", "/tmp", "..", "../out/../out/.", "deep/../../out"])
def test_links_out_of_it_are_not(tmp_path: Path, way: str, target: str) -> None:
    root, out = tmp_path / "root", tmp_path / "out"
    (root / "deep").mkdir(parents=True)
    out.mkdir()
    (root / "models").symlink_to(target)
    (root / "again").symlink_to("models")
    for folder in ("models", "models/x/y", "again", "deep/../models"):
        said = refusal(Boundary(root), folder)
        assert "symlink" in said and str(root) in said
    assert os.listdir(out) == []


def test_the_way_from_a_root_is_told(tmp_path: Path) -> None:
    (tmp_path / "a/lib/.git").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    root = tmp_path / "a"
    (root / "far").symlink_to(tmp_path / "out")
    tree = Boundary(root, lambda folder: folder == tmp_path / "out", [root / "lib/known"])
    for folder, below in (
        ("", ()),
        ("m", ("m",)),
        ("m/n", ("m", "n")),
        ("lib", ()),
        ("lib/x/y", ("x", "y")),
        ("lib/known", ()),
        ("lib/known/z", ("z",)),
        ("far", ("",)),
        ("far/x", ("", "x")),
    ):
        assert tree.locate(folder).below_root == below, folder


def test_what_a_refusal_names(tmp_path: Path, way: str) -> None:
    (tmp_path / "root/.git").mkdir(parents=True)
    (tmp_path / "root/d").mkdir()
    (tmp_path / "root/x").symlink_to(".git")
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "root/f").symlink_to("../file")
    (tmp_path / "root/out").symlink_to("..")
    (tmp_path / "root/gone").symlink_to("../nothing")
    tree = Boundary(tmp_path / "root")
    said = refusal(tree, "x/hooks")
    assert f"{tmp_path}/root/x leads to {tmp_path}/root/.git, which belongs to git" in said
    assert f"remove the symlink {tmp_path}/root/x" in said
    said = refusal(tree, "d/.git")
    assert f"{tmp_path}/root/d/.git belongs to git" in said and "another folder" in said
    # What a person would allow is a folder: a file's own one.
    assert refusal(tree, "f").endswith(f"fetch config allow links {tmp_path}")
    assert refusal(tree, "out").endswith(f"fetch config allow links {tmp_path}")
    said = refusal(tree, "gone")
    assert "allow" not in said and said.endswith("remove it")


def test_what_stands_in_the_way_of_a_folder_of_ours(tmp_path: Path, way: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path)
    for name, code, words in (
        ("file", "conflict", "is a file where a folder must be"),
        ("link", "bad-path", "is a symlink"),
    ):
        with pytest.raises(Failure, match=f"{tmp_path}/{name} {words}") as caught:
            open_own(tmp_path, f"{name}/x")
        assert caught.value.problem.code == code
    with pytest.raises(FileNotFoundError):
        open_own(tmp_path, "not/there", create=False)
    assert not (tmp_path / "not").exists()
    open_own(tmp_path, "now/there").close()
    assert (tmp_path / "now/there").is_dir()
    open_own(tmp_path, "", create=False).close()


def test_folders_that_are_let_go_are_closed(tmp_path: Path, way: str) -> None:
    before = len(os.listdir("/proc/self/fd"))
    held = [open_own(tmp_path, f"a/{n}") for n in range(3)]
    assert len(os.listdir("/proc/self/fd")) == before + (3 if way == "held open" else 0)
    for folder in held:
        assert folder.named("x") == f"{folder.path}/x"
        folder.close()
        folder.close()
    with pytest.raises(Failure):
        (tmp_path / "file").write_bytes(b"")
        open_own(tmp_path, "a/0/../../file/x")
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_root_of_the_file_system_has_one_slash() -> None:
    assert OpenFolder("/", None).at("x") == "/x"
    assert OpenFolder("/a", None).at("x") == "/a/x"


def test_a_link_to_nothing_is_no_folder(tmp_path: Path, way: str) -> None:
    (tmp_path / "models").symlink_to("not/../there")
    with pytest.raises(Failure, match="leads to no folder"):
        Boundary(tmp_path).open("models/a")
    assert os.listdir(tmp_path) == ["models"]


def test_a_hint_is_one_that_can_be_followed(tmp_path: Path, way: str) -> None:
    root, disk = tmp_path / "root", tmp_path / "a disk"
    root.mkdir()
    disk.mkdir()
    (root / "models").symlink_to(disk)
    assert f"fetch config allow links '{disk}'" in refusal(Boundary(root), "models/a")
    allowed = Boundary(root, lambda place: place == disk or disk in place.parents)
    with allowed.open("models/a") as folder:
        assert folder.path == str(disk / "a")
    (disk / "b").symlink_to(tmp_path)
    assert "outside" in refusal(allowed, "models/b"), "what is allowed is that folder alone"


BAD = [".git", ".GIT", ".git/hooks", ".fetch", ".fetch/kept", "sub/.git", "sub/.g\u200cit"]


@pytest.mark.parametrize("target", BAD)
def test_what_belongs_to_git_or_fetch_is_found_behind_links(
    tmp_path: Path, way: str, target: str
) -> None:
    (tmp_path / target).mkdir(parents=True)
    (tmp_path / "models").symlink_to(target)
    assert "belongs to" in refusal(Boundary(tmp_path), "models/a")
    assert "belongs to" in refusal(Boundary(tmp_path, lambda _: True), "models")


@pytest.mark.parametrize("marks", [["HEAD", "objects/x", "refs/x"], ["HEAD", "commondir"],
                                   ["pyvenv.cfg"]])  # fmt: skip
def test_folders_whose_files_are_run_are_found_by_what_they_hold(
    tmp_path: Path, way: str, marks: list[str]
) -> None:
    for mark in marks:
        (tmp_path / "innocent" / mark).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "innocent" / mark).write_text("")
    (tmp_path / "models").symlink_to("innocent")
    for folder in ("innocent", "innocent/hooks", "models/lib"):
        assert "belongs to" in refusal(Boundary(tmp_path), folder)
    shutil.rmtree(tmp_path / "innocent")
    (tmp_path / "innocent").mkdir()
    (tmp_path / "innocent/HEAD").write_text("a model's file of this name")
    Boundary(tmp_path).open("innocent/heads").close()


def test_a_link_that_comes_between_look_and_use_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    root, out = tmp_path / "root", tmp_path / "out"
    (root / "models/a").mkdir(parents=True)
    out.mkdir()
    tree = Boundary(root)
    looked = tree.locate

    def swap(folder: str) -> boundary.Location:
        found = looked(folder)
        (root / "models").rename(root / "was")
        (root / "models").symlink_to(out)
        return found

    monkeypatch.setattr(tree, "locate", swap)
    assert "symlink" in refusal(tree, "models/a")
    assert os.listdir(out) == []


def test_an_open_folder_stays_the_one_that_was_judged(tmp_path: Path) -> None:
    if not boundary._can_hold():
        pytest.skip("no paths through open folders here")
    root, out = tmp_path / "root", tmp_path / "out"
    (root / "models").mkdir(parents=True)
    out.mkdir()
    with Boundary(root).open("models") as folder:
        (root / "models").rename(root / "was")
        (root / "models").symlink_to(out)
        Path(folder.at("x")).write_bytes(b"1")
    assert os.listdir(out) == [] and os.listdir(root / "was") == ["x"]


@pytest.mark.parametrize("link", [".fetch", ".fetch/kept", ".fetch/kept/now"])
def test_fetchs_own_folders_are_never_links(tmp_path: Path, way: str, link: str) -> None:
    root, out = tmp_path / "root", tmp_path / "out"
    (root / link).parent.mkdir(parents=True)
    (out / "kept/now").mkdir(parents=True)
    (root / link).symlink_to(out)
    before = sorted(out.rglob("*"))
    with pytest.raises(Failure, match="is a symlink"):
        open_own(root, ".fetch/kept/now")
    with pytest.raises(Failure, match="is a symlink"):
        write_own(root, ".fetch/kept/now/x", b"1")
    with pytest.raises(Failure, match="is a symlink"):
        refuse_links(root, [link])
    assert sorted(out.rglob("*")) == before


def test_a_file_through_an_honest_link_is_written_where_it_leads(tmp_path: Path, way: str) -> None:
    (tmp_path / "locks").mkdir()
    (tmp_path / "fetch.lock").symlink_to("locks/a.lock")
    Boundary(tmp_path).write("fetch.lock", b"1")
    assert (tmp_path / "locks/a.lock").read_bytes() == b"1" and (
        tmp_path / "fetch.lock"
    ).is_symlink()
    Boundary(tmp_path).write("new/one", b"2")
    assert (tmp_path / "new/one").read_bytes() == b"2"


@pytest.mark.parametrize("target", ["../out/x", ".git/config", "../not/there"])
def test_a_file_through_a_link_out_is_neither_written_nor_read(
    tmp_path: Path, way: str, target: str
) -> None:
    root = tmp_path / "root"
    (root / ".git").mkdir(parents=True)
    (root / ".git/config").write_text("token")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/x").write_text("secret")
    (root / "fetch.lock").symlink_to(target)
    with pytest.raises(Failure):
        Boundary(root).real_path("fetch.lock")
    with pytest.raises(Failure):
        Boundary(root).write("fetch.lock", b"1")
    assert (tmp_path / "out/x").read_text() == "secret"
    assert (root / ".git/config").read_text() == "token"


NAMES = st.sampled_from(["a", "b", "c"])
TARGETS = st.sampled_from(
    ["a", "b", "c", "a/b", "../a", "../../out", "../out", ".git", "../.git", "/", "c/../..", "."]
)
LINKS = st.dictionaries(st.lists(NAMES, min_size=1, max_size=3).map("/".join), TARGETS, max_size=5)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(LINKS, st.lists(st.lists(NAMES, min_size=1, max_size=4).map("/".join), min_size=1))
def test_whatever_links_there_are_nothing_falls_outside(
    tmp_path: Path, links: dict[str, str], folders: list[str]
) -> None:
    shutil.rmtree(tmp_path)
    root = tmp_path / "root"
    (root / ".git").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    for name, target in links.items():
        path = root / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(target)
        except OSError:
            continue  # a link stands where a folder must be
    tree = Boundary(root)
    for folder in folders:
        try:
            opened: OpenFolder = tree.open(folder)
        except (Failure, OSError):
            continue
        with opened:
            Path(opened.at("file")).write_bytes(b"1")
        assert (root / folder / "file").exists(), "it is where the text says, links followed"
    for path in tmp_path.rglob("file"):
        inside = path.relative_to(root).parts
        assert ".git" not in inside, links
