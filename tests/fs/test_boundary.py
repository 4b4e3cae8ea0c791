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


def test_a_hard_link_goes_into_the_folder_that_is_held(tmp_path: Path, way: str) -> None:
    (tmp_path / "blob").write_bytes(b"1")
    with open_own(tmp_path, "a") as folder:
        (tmp_path / "elsewhere").mkdir()
        if way == "held open":  # what it is called meanwhile makes no difference
            (tmp_path / "a").rename(tmp_path / "was")
            (tmp_path / "a").symlink_to("elsewhere")
        folder.link(str(tmp_path / "blob"), "x")
        with pytest.raises(FileExistsError):
            folder.link(str(tmp_path / "blob"), "x")
    place = tmp_path / ("was" if way == "held open" else "a")
    assert os.path.samefile(place / "x", tmp_path / "blob")
    assert os.listdir(tmp_path / "elsewhere") == []


def test_what_is_in_place_of_files_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    refuse_links(tmp_path, ["gone", "file", "folder", "gone/too"])
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("file")
    for name, words in (("pipe", "is no file"), ("link", "is a symlink")):
        with pytest.raises(Failure) as caught:
            refuse_links(tmp_path, ["gone", "file", name])
        assert caught.value.problem.code == "bad-path"
        assert f"{tmp_path}/{name} {words}" in caught.value.message


@pytest.mark.parametrize("marks", [["oci-layout", "blobs"], ["oci-layout"], ["blobs"]])
def test_no_tree_is_made_in_a_store_or_bundle(tmp_path: Path, way: str, marks: list[str]) -> None:
    """What lies there would be served, or removed by gc."""
    for mark in marks:
        (tmp_path / "s" / mark).mkdir(parents=True)
    (tmp_path / "models").symlink_to("s")
    tree = Boundary(tmp_path)
    for folder in ("s", "s/m", "models/m"):
        if len(marks) == 2:
            assert f"{tmp_path}/s, which belongs" in refusal(tree, folder) or "s belongs" in (
                refusal(tree, folder)
            )
        else:
            tree.open(folder, create=False) if folder == "s" else tree.locate(folder)
    (tmp_path / "s/f").write_bytes(b"1")
    assert tree.real_path("models/f") == tmp_path / "s/f", "reading there is another thing"
    # A project may itself hold a bundle: it is the person's choice to stand there.
    Boundary(tmp_path / "s").open("m").close()


def test_a_project_that_is_an_environment(tmp_path: Path, way: str) -> None:
    """`python -m venv .`: its own folders are Python's, the others the project's."""
    (tmp_path / "pyvenv.cfg").write_text("")
    (tmp_path / "models").mkdir()
    (tmp_path / "sub/conda-meta").mkdir(parents=True)
    tree = Boundary(tmp_path)
    for folder in ("lib", "lib/python3/site-packages", "bin", "Scripts", "LIB64/x", "etc"):
        assert "belongs to a Python environment" in refusal(tree, folder)
    for folder in ("", "models", "models/lib", "data/bin", "libs"):
        tree.open(folder).close()
    assert "belongs to a Python environment" in refusal(tree, "sub/x")
    (tmp_path / "HEAD").write_text("")
    (tmp_path / "commondir").write_text("")
    assert "belongs to a git repository" in refusal(Boundary(tmp_path), "models")


@pytest.mark.parametrize("name", ["site-packages", "dist-packages", "Site-Packages"])
def test_where_packages_are_put(tmp_path: Path, way: str, name: str) -> None:
    (tmp_path / name).mkdir()
    assert "belongs to a Python environment" in refusal(Boundary(tmp_path), f"{name}/x")
    Boundary(tmp_path).open(f"my-{name}").close()


@pytest.mark.parametrize("missing", ["objects", "refs"])
def test_half_of_what_a_repository_has_is_none(tmp_path: Path, missing: str) -> None:
    for name in {"objects", "refs"} - {missing}:
        (tmp_path / "m" / name).mkdir(parents=True)
    (tmp_path / "m/HEAD").write_text("")
    Boundary(tmp_path).open("m/x").close()
    (tmp_path / "m" / missing).mkdir()
    assert "belongs to a git repository" in refusal(Boundary(tmp_path), "m/x")


def test_where_a_folder_really_is(tmp_path: Path) -> None:
    root, disk = tmp_path / "root", tmp_path / "disk"
    (root / "a/b").mkdir(parents=True)
    (disk / "c").mkdir(parents=True)
    (root / "a/far").symlink_to(disk)
    (root / "near").symlink_to("a")
    tree = Boundary(root, lambda place: place == disk)
    for folder, base, parts, absent in (
        ("", root, (), False),
        ("a/b", root, ("a", "b"), False),
        ("near/b", root, ("a", "b"), False),
        ("near/b/x/y", root, ("a", "b", "x", "y"), True),
        ("a/far", disk, (), False),
        ("near/far/c", disk, ("c",), False),
        ("a/far/x", disk, ("x",), True),
    ):
        found = tree.locate(folder)
        assert (found.base, found.parts, found.absent) == (str(base), parts, absent), folder
        assert found.path == os.path.join(base, *parts)
    (root / "f").write_bytes(b"")
    with pytest.raises(Failure, match=f"{root}/f is a file where a folder must be"):
        tree.locate("f")
    with pytest.raises(Failure, match=f"{root}/f is a file where a folder must be"):
        tree.locate("f/x")


def test_a_root_that_is_not_there_yet(tmp_path: Path, way: str) -> None:
    tree = Boundary(tmp_path / "new/root")
    found = tree.locate("a/b")
    assert found.absent and found.parts == ("a", "b") and found.base == f"{tmp_path}/new/root"
    assert tree.locate("").absent
    with tree.open("a/b") as folder:
        assert folder.path == f"{tmp_path}/new/root/a/b"
    assert not tree.locate("a/b").absent


def test_a_look_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = Boundary(tmp_path)

    def refuse(path: str) -> os.stat_result:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "lstat", refuse)
    with pytest.raises(Failure, match=f"looking at {tmp_path}/a") as caught:
        tree.locate("a/b")
    assert caught.value.problem.code == "permission"


def test_the_outermost_folder_that_is_allowed_is_the_base(tmp_path: Path) -> None:
    root, disk = tmp_path / "root", tmp_path / "disk"
    root.mkdir()
    (disk / "a/b").mkdir(parents=True)
    (root / "m").symlink_to(disk / "a/b")
    tree = Boundary(root, lambda place: place in {disk, disk / "a"})
    assert tree.locate("m/x").parts == ("a", "b", "x")
    (disk / "a/b/f").write_bytes(b"1")
    tree.write("m/f", b"2")
    assert tree.real_path("m/f") == disk / "a/b/f"
    assert (disk / "a/b/f").read_bytes() == b"2"


def test_a_file_that_no_link_leads_to_is_judged_by_its_name_elsewhere(tmp_path: Path) -> None:
    """`.fetch/` is fetch's own: what is written there is, by this way too."""
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "other").symlink_to("root")
    for start in (root, tmp_path / "other"):
        assert Boundary(start).real_path(".fetch/x") == root / ".fetch/x"
        assert Boundary(start).real_path("x") == root / "x"
    (root / ".fetch").mkdir()
    (root / "link").symlink_to(".fetch")
    with pytest.raises(Failure, match=f"{root}/link/x leads to {root}/.fetch.*belongs to fetch"):
        Boundary(root).real_path("link/x")


def test_a_file_behind_a_link_out_names_that_link(tmp_path: Path) -> None:
    root, out = tmp_path / "root", tmp_path / "out"
    (root / "a").mkdir(parents=True)
    out.mkdir()
    (root / "a/link").symlink_to(out)
    with pytest.raises(Failure, match=f"{root}/a/link is a symlink to {out}, outside {root}"):
        Boundary(root).real_path("a/link/x/y")


def test_what_another_run_makes_meanwhile_is_taken(
    tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mkdir, made = os.mkdir, list[str]()

    def slow(path: str, *more: object, **named: object) -> None:
        if not made:
            made.append(path)
            mkdir(path, *more, **named)  # type: ignore[arg-type]
        mkdir(path, *more, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "mkdir", slow)
    open_own(tmp_path, "a/b").close()
    assert (tmp_path / "a/b").is_dir() and made


def test_a_root_that_is_reached_by_a_link(tmp_path: Path, way: str) -> None:
    (tmp_path / "real/m").mkdir(parents=True)
    (tmp_path / "root").symlink_to("real")
    tree = Boundary(tmp_path / "root")
    with tree.open("m/x") as folder:
        assert folder.path == f"{tmp_path}/real/m/x"
    write_own(tmp_path / "root", "f", b"1")
    write_own(tmp_path / "root", "d/e/f", b"2")
    assert (tmp_path / "real/f").read_bytes() == b"1"
    assert (tmp_path / "real/d/e/f").read_bytes() == b"2"


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


def test_what_is_not_there_is_not_looked_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = Boundary(tmp_path)
    tree.locate("data/first")
    looks: list[str] = []
    look = os.lstat

    def noted(path: str) -> os.stat_result:
        looks.append(path)
        return look(path)

    monkeypatch.setattr(os, "lstat", noted)
    assert tree.locate("data/second/third").absent
    assert looks == [str(tmp_path / "data")]
    with pytest.raises(Failure, match="Python environment"):
        tree.locate("data/site-packages")
