"""What a plan decides for each file: by row, by store, by what stands there, by its name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fetcher.fs.private_files import private_name
from fetcher.project.lockfile import Lock
from fetcher.sources.base import FileEntry
from fetcher.sources.huggingface import HuggingFace
from fetcher.tree.plan import BLOCKED, CONFLICT, GET, KEEP, PLACE, UNVERIFIED, WITHHELD, Plan
from tests.kit import git_blob, sha256
from tests.tree.desk import COMMIT, Desk, by_git, known

OLD, NEW = b"old", b"new"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def codes(plan: Plan) -> list[str]:
    return [problem.code for problem in plan.problems()]


# What is not there


def test_a_fresh_clone(desk: Desk) -> None:
    item = desk.only(NEW)
    assert (item.action, item.sha256, item.origin, item.target) == (GET, "", "", "m/f")
    desk.put(NEW)
    for folder in (False, True):  # with the folder there, and without
        if folder:
            (desk.tree / "m").mkdir()
        item = desk.only(NEW)
        assert (item.action, item.sha256, item.origin) == (PLACE, sha256(NEW), "store")
        assert item.stat is None and not item.replaces


def test_a_blob_by_its_git_id(desk: Desk) -> None:
    file = by_git("f", NEW)
    assert [item.action for item in desk.plan([file]).items] == [GET]
    desk.put(NEW, git=True)
    (item,) = desk.plan([file]).items
    assert (item.action, item.sha256) == (PLACE, sha256(NEW))


def test_a_file_without_a_digest_is_got(desk: Desk) -> None:
    (item,) = desk.plan([FileEntry("f", 3)]).items
    assert item.action == GET


def test_a_blob_of_another_size_is_not_taken(desk: Desk) -> None:
    desk.put(NEW)
    (item,) = desk.plan([FileEntry("f", 4, sha256(NEW))]).items
    assert item.action == GET


def test_an_unresolved_artifact_has_no_items(desk: Desk) -> None:
    unit, artifact, _ = desk.unit([known("f", NEW)], {"m/": "a"})
    plan = desk.planner().plan([(unit, artifact)], Lock())
    (part,) = plan.artifacts
    assert part.locked is None and not part.items and plan.problems() == []


# What stands there


def placed(desk: Desk, data: bytes = OLD, link: str = "auto", **more: object) -> Path:
    """m/f as a run has placed it."""
    desk.put(data)
    desk.place(desk.plan([known("f", data)], **more), link)  # type: ignore[arg-type]
    path = desk.tree / "m/f"
    assert path.read_bytes() == data
    return path


def touch(path: Path) -> None:
    os.utime(path, ns=(1, 10**18))


def test_what_was_placed_is_kept_without_reading(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    placed(desk)
    monkeypatch.setattr("fetcher.tree.planner.sha256_of", None)
    for quick in (False, True):
        item = desk.only(OLD, quick=quick)
        assert (item.action, item.sha256, item.touched) == (KEEP, sha256(OLD), False)
    monkeypatch.undo()
    item = desk.only(OLD, deep=True)
    assert (item.action, item.sha256, item.touched) == (KEEP, sha256(OLD), True)


def test_an_older_content_of_ours_is_replaced(desk: Desk) -> None:
    placed(desk)
    item = desk.only(NEW)
    assert (item.action, item.replaces, item.problem) == (GET, True, None)
    desk.put(NEW)
    item = desk.only(NEW)
    assert (item.action, item.replaces, item.sha256) == (PLACE, True, sha256(NEW))
    touch(desk.tree / "m/f")  # only its times changed
    item = desk.only(NEW)
    assert (item.action, item.replaces, item.touched) == (PLACE, True, True)
    item = desk.only(OLD)
    assert (item.action, item.replaces, item.touched) == (KEEP, False, True)


@pytest.mark.parametrize("quick", [False, True])
def test_a_change_of_the_users_is_a_conflict(desk: Desk, quick: bool) -> None:
    path = placed(desk)
    path.unlink()
    path.write_bytes(b"mine, all mine")
    item = desk.only(OLD, quick=quick)
    assert (item.action, item.changed_by_user) == (CONFLICT, True)
    assert (item.problem is None) is quick
    if item.problem is not None:
        assert item.problem.code == "conflict"
        assert item.problem.message.startswith("m/f was changed after it was placed")
        assert "--overwrite" in item.problem.hint
        assert (item.problem.artifact, item.problem.file) == ("a", "f")


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("where", ["artifact", "layout"])
def test_a_writable_file_may_be_changed(desk: Desk, quick: bool, where: str) -> None:
    more = {"artifact": {"writable": True}, "layout": {}}[where]
    layout = {"artifact": (), "layout": ("m/f",)}[where]
    desk.put(OLD)
    unit, artifact, lock = desk.unit([known("f", OLD)], {"m/": "a"}, **more)  # type: ignore[arg-type]
    unit.layout.writable = layout
    plan = desk.planner().plan([(unit, artifact)], lock)
    assert [item.writable for item in plan.items] == [True]
    desk.place(plan)
    (desk.tree / "m/f").write_bytes(b"trained in place")
    (item,) = desk.planner(quick).plan([(unit, artifact)], lock).items
    assert (item.action, item.changed_by_user, item.problem) == (KEEP, True, None)


def test_a_file_of_the_users(desk: Desk) -> None:
    desk.file("m/f", b"mine")
    item = desk.only(NEW)
    assert (item.action, item.changed_by_user) == (CONFLICT, False)
    assert item.problem is not None and item.problem.code == "conflict"
    assert "did not put it there" in item.problem.message
    assert desk.only(NEW, quick=True).action == CONFLICT
    desk.file("m/f", NEW)
    item = desk.only(NEW)
    assert (item.action, item.sha256, item.touched) == (KEEP, sha256(NEW), True)
    item = desk.only(NEW, quick=True)
    assert (item.action, item.sha256) == (UNVERIFIED, "")
    desk.file("m/f", OLD)  # of the same size
    assert desk.only(NEW).action == CONFLICT
    assert desk.only(NEW, quick=True).action == UNVERIFIED


def test_a_file_of_the_users_that_was_read_before(desk: Desk) -> None:
    desk.file("m/f", NEW)
    item = desk.only(NEW)
    from fetcher.tree.plan import row_of

    assert item.stat is not None
    desk.rows["m/f"] = row_of(item, sha256(NEW), item.stat, placed=False)
    assert desk.only(NEW).touched is False and desk.only(NEW).action == KEEP
    # The lock moves on: it is the user's, and not ours to replace.
    item = desk.only(OLD)
    assert (item.action, item.replaces) == (CONFLICT, False)
    desk.file("m/f", b"more of it")
    item = desk.only(NEW)
    assert (item.action, item.changed_by_user) == (CONFLICT, False)
    assert desk.only(NEW, quick=True).action == CONFLICT


def test_known_by_git_id_or_not_at_all(desk: Desk) -> None:
    path = desk.file("m/f", NEW)
    (item,) = desk.plan([by_git("f", NEW)]).items
    assert (item.action, item.sha256) == (KEEP, sha256(NEW))
    (item,) = desk.plan([by_git("f", OLD)]).items
    assert item.action == CONFLICT
    (item,) = desk.plan([FileEntry("f", 3)]).items
    assert item.action == CONFLICT and item.problem is not None
    assert "no digest is known" in item.problem.message
    assert "fetch adopt m/f --as a/f" in item.problem.hint
    (item,) = desk.plan([FileEntry("f", 4, sha256(NEW))]).items
    assert item.action == CONFLICT  # its size alone tells
    (item,) = desk.plan([FileEntry("f", None, sha256(NEW))]).items
    assert item.action == KEEP
    (item,) = desk.plan([FileEntry("f")], quick=True).items
    assert item.action == UNVERIFIED and path.exists()


def test_what_was_placed_by_a_git_id_is_kept(desk: Desk) -> None:
    desk.put(NEW, git=True)
    desk.place(desk.plan([by_git("f", NEW)]))
    (item,) = desk.plan([by_git("f", NEW)]).items
    assert (item.action, item.touched) == (KEEP, False)
    # The sha256 became known: the same content.
    (item,) = desk.plan([FileEntry("f", 3, sha256(NEW), git_blob(NEW))]).items
    assert (item.action, item.touched) == (KEEP, False)
    (item,) = desk.plan([by_git("f", OLD)]).items
    assert (item.action, item.replaces) == (GET, True)
    (item,) = desk.plan([FileEntry("f", 3)]).items
    assert (item.action, item.replaces) == (GET, True)


def test_things_that_are_no_files(desk: Desk) -> None:
    (desk.tree / "m/f").mkdir(parents=True)
    assert desk.only(NEW).action == CONFLICT
    assert desk.only(NEW, quick=True).action == CONFLICT
    (desk.tree / "m/f").rmdir()
    os.mkfifo(desk.tree / "m/f")
    assert desk.only(NEW).action == CONFLICT
    (desk.tree / "m/f").unlink()
    (desk.tree / "m/f").symlink_to("nowhere")
    assert desk.only(NEW).action == CONFLICT
    (desk.tree / "m/f").unlink()
    desk.file("m/g", NEW)
    (desk.tree / "m/f").symlink_to("g")  # a person's own link to the right bytes
    assert desk.only(NEW).action == KEEP
    assert desk.only(NEW, quick=True).action == CONFLICT


def test_a_link_of_ours_is_as_good_as_its_blob(desk: Desk) -> None:
    path = placed(desk, link="symlink")
    assert path.is_symlink()
    assert desk.only(OLD).action == KEEP
    blob = Path(desk.store.blob_path(sha256(OLD)))
    blob.chmod(0o644)
    blob.write_bytes(b"odd")
    desk.store.refresh()
    item = desk.only(OLD)
    assert (item.action, item.replaces) == (GET, True)


def test_a_file_that_cannot_be_read(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.file("m/f", NEW)

    def refused(path: str, git: bool) -> tuple[str, str]:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("fetcher.tree.planner.digests_of", refused)
    item = desk.only(NEW)
    assert item.action == BLOCKED and item.problem is not None
    assert item.problem.code == "permission" and "m/f" in item.problem.message
    assert (item.problem.artifact, item.problem.file) == ("a", "f")


@pytest.mark.parametrize(
    ("number", "code"), [(13, "permission"), (36, "bad-path"), (5, "permission")]
)
def test_a_file_that_cannot_be_looked_at(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, number: int, code: str
) -> None:
    desk.file("m/f", NEW)
    lstat = os.lstat

    def refused(path: str, **more: int) -> os.stat_result:
        if str(path).endswith("m/f"):
            raise OSError(number, os.strerror(number), path)
        return lstat(path, **more)

    monkeypatch.setattr(os, "lstat", refused)
    item = desk.only(NEW)
    assert item.action == BLOCKED and item.problem is not None and item.problem.code == code


def test_overwriting(desk: Desk) -> None:
    desk.file("m/f", b"mine")
    (desk.tree / "m/g").mkdir()
    files = [known("f", NEW), known("g", OLD), known("h", NEW)]
    unit, artifact, lock = desk.unit(files, {"m/": "a"})
    planner = desk.planner()
    plan = planner.plan([(unit, artifact)], lock)
    desk.put(NEW)
    planner.overwrite_conflicts(plan)
    found = {item.file.path: (item.action, item.aside) for item in plan.items}
    assert found == {"f": (PLACE, True), "g": (GET, True), "h": (GET, False)}
    assert plan.problems() == []


# Folders and links


def test_a_link_to_the_root_itself_is_the_root(desk: Desk) -> None:
    """A folder that leads back to the root: what falls into it is judged as if at the root."""
    for link in (".", str(desk.tree)):
        (desk.tree / "x").unlink(missing_ok=True)
        (desk.tree / "x").symlink_to(link)
        plan = desk.plan([known("fetch.yaml", NEW), known("w.bin", OLD)], {"x/": "a"})
        assert codes(plan) == ["bad-path"]
        assert [item.action for item in plan.items] == [WITHHELD]
        assert "x/fetch.yaml" in plan.problems()[0].message
        # An ordinary file may go that way.
        assert codes(desk.plan([known("w.bin", OLD)], {"x/": "a"})) == []


def test_a_link_to_the_root_below_a_folder(desk: Desk) -> None:
    (desk.tree / "d").mkdir()
    (desk.tree / "d/up").symlink_to("..")
    for name in ("fetch.yaml", "json.py", "manifests/x.yaml"):
        plan = desk.plan([known(name, NEW)], {"d/up/": "a"})
        assert codes(plan) == ["bad-path"], name
    plan = desk.plan([known("fetch.yaml", NEW)], {"d/": "a"})
    assert codes(plan) == []


def test_a_link_that_leads_out_blocks_its_files_alone(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (desk.tree / "x").symlink_to(tmp_path / "out")
    plan = desk.plan([known("f", NEW), known("g", OLD)], {"x/f": "a/f", "m/g": "a/g"})
    found = {item.target: item.action for item in plan.items}
    assert found == {"x/f": BLOCKED, "m/g": GET}
    (problem,) = plan.problems()
    assert problem.code == "bad-path" and "outside" in problem.message
    assert "fetch config allow links" in problem.hint
    desk.permit = lambda folder: folder == tmp_path / "out"
    plan = desk.plan([known("f", NEW)], {"x/f": "a/f"})
    assert [item.action for item in plan.items] == [GET]


def test_a_file_where_a_folder_must_be(desk: Desk) -> None:
    desk.file("m", b"a file")
    item = desk.only(NEW)
    assert item.action == BLOCKED and item.problem is not None
    assert item.problem.code == "conflict"
    assert (item.problem.artifact, item.problem.file) == ("a", "f")


@pytest.mark.parametrize(
    ("target", "refused"),
    [
        ("fetch.yaml", True),
        ("m/fetch.yaml", False),
        ("json.py", True),
        ("m/json.py", False),
        ("torch/__init__.py", True),
        ("m/torch/__init__.py", False),
        (".github/workflows/x.yml", True),
        ("m/.github/x.yml", False),
        ("m/.git", True),
        ("pyvenv.cfg", True),
        ("m/d/pyvenv.cfg", True),
        ("m/git~1", True),
    ],
)
def test_names_that_mean_more_than_a_file(desk: Desk, target: str, refused: bool) -> None:
    plan = desk.plan([known("w", NEW)], {target: "a/w"})
    assert codes(plan) == (["bad-path"] if refused else [])
    if refused:
        (problem,) = plan.problems()
        assert (problem.artifact, problem.file) == ("a", "w")
        assert target in problem.message and 'exclude: ["w"]' in problem.hint
        assert list(plan.items) == []


def test_a_repository_below_is_a_root_of_its_own(desk: Desk) -> None:
    (desk.tree / "lib/.git").mkdir(parents=True)
    (desk.tree / "lib/.github").mkdir()
    for target in ("lib/fetch.yaml", "lib/.github/x.yml", "lib/torch/__init__.py"):
        assert codes(desk.plan([known("w", NEW)], {target: "a/w"})) == ["bad-path"], target
    assert codes(desk.plan([known("w", NEW)], {"lib/m/fetch.yaml": "a/w"})) == []


@pytest.mark.parametrize(
    ("names", "there", "refused"),
    [
        (["HEAD", "commondir"], [], True),
        (["AUTHORS", "HEAD", "commondir"], [], True),
        (["head", "objects/x", "refs/y"], [], True),
        (["HEAD", "objects/x"], ["refs"], True),
        (["HEAD"], ["commondir"], True),
        (["HEAD", "objects/x"], [], False),
        (["HEAD", "refs/x"], [], False),
        (["commondir", "objects/x", "refs/y"], [], False),
        (["HEAD/x", "commondir"], [], False),
    ],
)
@pytest.mark.parametrize("folder", ["", "m/"])
def test_files_that_together_make_a_repository(
    desk: Desk, names: list[str], there: list[str], refused: bool, folder: str
) -> None:
    for name in there:
        (desk.tree / folder / name).mkdir(parents=True)
    files = [known(name, name.encode()) for name in names]
    plan = desk.plan(files, {folder or "./": "a"} if folder else {f"{n}": f"a/{n}" for n in names})
    assert codes(plan) == (["bad-path"] if refused else [])
    assert {item.action for item in plan.items} == ({WITHHELD} if refused else {GET})
    if refused:
        (problem,) = plan.problems()
        assert "git repository" in problem.message and (problem.artifact != "") is True
        assert problem.file.lower() == "head" and problem.file in problem.hint


def test_a_target_that_is_too_long_as_a_whole(desk: Desk) -> None:
    name = "/".join(["n" * 200] * 5)
    plan = desk.plan([known("w", NEW)], {name: "a/w"}, root="/".join(["r" * 200] * 16))
    assert codes(plan) == ["bad-path"] and "too long" in plan.problems()[0].message
    assert codes(desk.plan([known("w", NEW)], {name: "a/w"}, root="r")) == []


# Two files on one path


def both(
    desk: Desk, first: FileEntry, second: FileEntry, targets: tuple[str, str] = ("m/f", "m/f")
) -> Plan:
    one, a, lock = desk.unit([first], {targets[0]: f"a/{first.path}"})
    two, b, more = desk.unit([second], {targets[1]: f"b/{second.path}"}, id="b")
    return desk.planner().plan([(one, a), (two, b)], Lock(lock.artifacts | more.artifacts))


def test_one_content_for_two_is_placed_once(desk: Desk) -> None:
    for first, second in (
        (known("f", NEW), known("g", NEW)),
        (by_git("f", NEW), by_git("g", NEW)),
        (FileEntry("f", 3, sha256(NEW), git_blob(NEW)), by_git("g", NEW)),
    ):
        plan = both(desk, first, second)
        assert codes(plan) == [] and len(list(plan.items)) == 1


@pytest.mark.parametrize(
    ("first", "second", "targets"),
    [
        (known("f", NEW), known("g", OLD), ("m/f", "m/f")),
        (known("f", NEW), by_git("g", NEW), ("m/f", "m/f")),
        (FileEntry("f", 3), FileEntry("g", 3), ("m/f", "m/f")),
        (known("f", NEW), known("g", NEW), ("m/f", "m/F")),
        (known("f", NEW), known("g", NEW), ("m", "m/F")),
        (known("f", NEW), known("g", NEW), ("m/F", "m")),
    ],
)
def test_two_files_on_one_path(
    desk: Desk, first: FileEntry, second: FileEntry, targets: tuple[str, str]
) -> None:
    plan = both(desk, first, second, targets)
    assert codes(plan) == ["bad-path"]
    (problem,) = plan.problems()
    assert (problem.artifact, problem.file) == ("b", "g")
    assert [item.action for item in plan.items] == [GET]
    if targets == ("m/f", "m/f"):
        assert "two files fall on 'm/f': g and f of a" in problem.message
    else:
        assert "collides with" in problem.message and targets[1] in problem.message


# Counts, edits, the Hugging Face cache


def test_a_count_that_is_wrong_is_no_entry_of_the_lock(desk: Desk) -> None:
    files = [known("f", NEW), known("g", NEW)]
    assert codes(desk.plan(files, count=2)) == []
    for count in (3, 1):
        (part,) = desk.plan(files, count=count).artifacts
        assert part.locked is None and not part.items


def test_a_layout_that_names_what_is_not_there(desk: Desk) -> None:
    plan = desk.plan([known("f", NEW)], {"m/g": "a/g", "m/f": "a/f"})
    assert codes(plan) == ["layout-mismatch"] and len(list(plan.items)) == 1


def test_the_root_of_a_layout(desk: Desk) -> None:
    plan = desk.plan([known("f", NEW)], root="below")
    assert [item.target for item in plan.items] == ["below/m/f"]
    assert [item.path for item in plan.items] == [str(desk.tree / "below/m/f")]


JSON = b'{"path": "", "n": 1}\n'


def edited(desk: Desk, **more: object) -> Plan:
    edits = {"m/f": {"path": "{root}/x"}}
    return desk.plan([known("f", JSON)], root="r", edits=edits, **more)  # type: ignore[arg-type]


def test_an_edited_file(desk: Desk) -> None:
    desk.put(JSON)
    plan = edited(desk)
    (item,) = plan.items
    assert (item.action, item.edit) == (PLACE, {"path": str(desk.tree / "r/x")})
    desk.place(plan)
    path = desk.tree / "r/m/f"
    after = path.read_bytes()
    assert str(desk.tree / "r/x").encode() in after
    (item,) = edited(desk).items
    assert (item.action, item.touched, item.sha256) == (KEEP, False, sha256(after))
    touch(path)
    (item,) = edited(desk).items
    assert (item.action, item.touched, item.sha256) == (KEEP, True, sha256(after))
    # Without the store the row alone tells that it is as it was.
    Path(desk.store.blob_path(sha256(JSON))).unlink()
    desk.store.refresh()
    (item,) = edited(desk).items
    assert (item.action, item.sha256) == (KEEP, sha256(after))
    # Without the edit it is an older form of ours.
    (item,) = desk.plan([known("f", JSON)], root="r").items
    assert (item.action, item.replaces) == (GET, True)
    path.write_bytes(after + b" ")
    (item,) = edited(desk).items
    assert (item.action, item.changed_by_user) == (CONFLICT, True)


def test_an_edited_file_of_another_content_or_edit_is_replaced(desk: Desk) -> None:
    desk.put(JSON)
    desk.place(edited(desk))
    other = {"m/f": {"path": "elsewhere"}}
    (item,) = desk.plan([known("f", JSON)], root="r", edits=other).items
    assert (item.action, item.replaces) == (PLACE, True)
    newer = [known("f", b'{"n": 2}')]
    (item,) = desk.plan(newer, root="r", edits={"m/f": {"path": "{root}/x"}}).items
    assert (item.action, item.replaces) == (GET, True)


def test_a_users_own_copy_is_edited(desk: Desk) -> None:
    from fetcher.tree.plan import row_of

    desk.put(JSON)
    desk.file("r/m/f", JSON)
    (item,) = desk.plan([known("f", JSON)], root="r").items
    assert item.action == KEEP and item.stat is not None
    desk.rows["r/m/f"] = row_of(item, sha256(JSON), item.stat, placed=False)
    (item,) = edited(desk).items
    assert (item.action, item.replaces) == (PLACE, True)


def test_a_file_that_already_has_the_edited_form(desk: Desk) -> None:
    desk.put(JSON)
    desk.place(edited(desk))
    desk.rows.clear()
    (item,) = edited(desk).items
    assert (item.action, item.touched) == (KEEP, True)
    desk.file("r/m/f", JSON)
    (item,) = edited(desk).items
    assert item.action == CONFLICT


def test_a_file_that_cannot_be_edited_is_a_conflict_where_it_stands(desk: Desk) -> None:
    desk.put(b"no json")
    desk.file("m/f", b"no json")
    (item,) = desk.plan([known("f", b"no json")], edits={"m/f": {"x": 1}}).items
    assert item.action == CONFLICT


def test_an_edit_of_a_file_that_is_not_there(desk: Desk) -> None:
    plan = desk.plan([known("f", JSON)], edits={"m/g": {"x": 1}})
    (problem,) = plan.problems()
    assert problem.code == "layout-mismatch" and problem.artifact == "a"
    assert problem.message.startswith("layouts/l.yaml:7:5:") and "m/g" in problem.message
    assert problem.file == "m/g"
    assert codes(desk.plan([known("f", JSON)], edits={"other/g": {"x": 1}})) == []
    assert codes(desk.plan([known("f", JSON)], edits={"m/f": {"x": 1}})) == []


def test_the_hugging_face_cache(desk: Desk) -> None:
    desk.put(NEW)
    source = HuggingFace("o/n", path="sub")
    plan = desk.plan([known("f", NEW)], source=source, hub_cache=("a",))
    tree, hub = plan.items
    assert (tree.target, tree.hub) == ("m/f", "")
    folder = desk.hub / "models--o--n"
    assert hub.target == str(folder / "snapshots" / COMMIT / "sub/f")
    assert hub.hub == str(folder) and hub.action == PLACE and hub.path == hub.target
    Path(hub.target).parent.mkdir(parents=True)
    Path(hub.target).write_bytes(NEW)
    (folder / "refs").mkdir()
    (folder / "refs/main").write_text(COMMIT)
    assert [
        item.action for item in desk.plan([known("f", NEW)], source=source, hub_cache=("a",)).items
    ] == [PLACE, KEEP]
    Path(hub.target).write_bytes(OLD)
    assert [
        item.action for item in desk.plan([known("f", NEW)], source=source, hub_cache=("a",)).items
    ] == [PLACE, CONFLICT]


def test_the_cache_needs_a_commit(desk: Desk) -> None:
    for revision in ("main", "c" * 39, "c" * 41):
        plan = desk.plan([known("f", NEW)], hub_cache=("a",), revision=revision)
        assert not any(item.hub for item in plan.items)


def test_names_of_private_files_are_nobodys(desk: Desk) -> None:
    """What a killed run left beside a file is in nobody's way."""
    desk.file(f"m/{private_name('f')}", b"half")
    assert desk.only(NEW).action == GET
