"""The lock: written for diffs, read with suspicion."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetcher.errors import LockError
from fetcher.fs.safe_paths import BadPath, check_relative
from fetcher.project import lockfile as locks
from fetcher.project.lockfile import Lock, LockedArtifact, dumps, loads, stream_lock
from fetcher.project.manifest import Artifact
from fetcher.sources.base import FileEntry, Request
from fetcher.sources.huggingface import HuggingFace
from fetcher.sources.url import Url


def is_path(text: str) -> bool:
    try:
        check_relative(text)
    except BadPath:
        return False
    return True


IDS = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,5}", fullmatch=True)
HEX = st.text(alphabet="0123456789abcdef", min_size=64, max_size=64)
LINES = st.text(max_size=12).filter(lambda text: locks._LINE.fullmatch(text) is not None)
FILES = st.builds(
    FileEntry,
    st.text(min_size=1, max_size=8).filter(is_path),
    st.none() | st.integers(0, 2**63 - 1),
    st.none() | HEX,
    st.none() | HEX.map(lambda text: text[:40]),
    st.booleans(),
    st.none() | HEX.map(lambda text: text[:32]),
    st.booleans(),
    st.booleans(),
    st.none() | HEX.map(lambda text: f"sha1:{text[:40]}") | HEX.map(lambda t: f"prefix:{t[:9]}"),
    st.sampled_from(["", "", "a.zip", "나.tar"]),
    st.booleans(),
).map(
    lambda file: file._replace(
        computed=file.computed and file.sha256 is not None,
        size_hint=file.size_hint and file.size is not None and file.sha256 is None,
    )
)


def with_archives(item: LockedArtifact) -> LockedArtifact:
    """With the archives that its files are said to be members of."""
    names = sorted({file.archive for file in item.files} - {""})
    archives = [FileEntry(f"{name}.{n}", 5, archive=name) for name in names for n in range(2)]
    return replace(item, archives=tuple(archives))


ARTIFACTS = st.builds(
    LockedArtifact,
    LINES,
    LINES,
    LINES,
    st.lists(FILES, max_size=3, unique_by=lambda file: file.path).map(
        lambda files: tuple(sorted(files, key=lambda file: file.path))
    ),
    LINES,
    LINES,
).map(with_archives)
LOCKS = st.dictionaries(st.tuples(IDS, IDS), ARTIFACTS, max_size=3).map(Lock)

SHA = "a" * 64
GOOD = Lock(
    {
        ("m", "b"): LockedArtifact("hf:o/n@main", "c" * 40, "", (FileEntry("모델.bin", 3, SHA),)),
        ("m", "a"): LockedArtifact(
            "hf:o/n@main", "c" * 40, "5e1", (FileEntry("a", 1, None, "b" * 40), FileEntry("b", 2))
        ),
    }
)


@given(LOCKS)
def test_what_is_written_is_read_again(lock: Lock) -> None:
    text = dumps(lock)
    assert loads(text) == lock
    assert dumps(loads(text)) == text
    assert stream_lock(io.StringIO(text)) in (None, lock)
    text.encode("utf-8")
    for item in lock.artifacts.values():
        for file in item.files:
            line = locks._file_line(file)
            assert any(row.removesuffix(",") == line for row in text.split("\n"))


def test_one_file_a_line_sorted() -> None:
    lines = dumps(GOOD).splitlines()
    assert [line.strip(" ,") for line in lines if '"path"' in line] == [
        f'{{"path": "a", "size": 1, "git_blob": "{"b" * 40}"}}',
        '{"path": "b", "size": 2}',
        f'{{"path": "모델.bin", "size": 3, "sha256": "{SHA}"}}',
    ]


HEAD = {"schema": locks.SCHEMA}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["schema", "manifests", "m", "a", "files", "path", "size", "sha256"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=10,
)


@given(
    st.one_of(
        st.text(),
        JSON.map(json.dumps),
        JSON.map(lambda v: json.dumps({**HEAD, "manifests": {"m": {"a": v}}})),
    )
)
def test_hostile_text_only_ever_raises_lock_errors(text: str) -> None:
    try:
        loads(text)
    except LockError as error:
        assert error.hint
        assert "\n" not in error.message and "\x1b" not in error.message


def with_file(**facts: object) -> str:
    file = {"path": "a", **facts}
    return json.dumps({**HEAD, "manifests": {"m": {"a": {"files": [file]}}}})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read"),
        ("<<<<<<< HEAD\n{}", "conflict markers"),
        ("[" * 200_000, "cannot be read"),
        ("1" * 10_000, "cannot be read|has schema"),
        ("[]", "has schema None"),
        ('{"schema": "fetch.lock/2"}', "has schema 'fetch.lock/2', this version reads"),
        ('{"schema": "fetch.lock/1"}', "has no manifests"),
        ('{"schema": "fetch.lock/1", "manifests": {"m": 1}}', "is no object"),
        ('{"schema": "fetch.lock/1", "manifests": {"m": {"a": {}}}}', "no list of files"),
        (
            '{"schema": "fetch.lock/1", "manifests": {"m": {"../a": {"files": []}}}}',
            "no artifact's",
        ),
        ('{"schema": "fetch.lock/1", "schema": "fetch.lock/1", "manifests": {}}', "stands twice"),
        (with_file(path="../a"), "leads out"),
        (with_file(path="/a"), "absolute"),
        (with_file(path="a\x1b[2J"), "control"),
        (with_file(path=3), "no path"),
        (with_file(size=-1), "size -1"),
        (with_file(size=True), "size True"),
        (with_file(size=1.0), "size 1.0"),
        (with_file(size=2**63), "size 9"),
        (with_file(sha256="abc"), "digest 'abc'"),
        (with_file(sha256=SHA.upper()), "digest 'AAA"),
        (with_file(sha256=SHA + "\n"), "digest"),
        (with_file(git_blob=SHA), "digest"),
        (with_file().replace('{"files"', '{"revision": 3, "files"'), "text of one line"),
        (with_file().replace('{"files"', '{"revision": "a\\nb", "files"'), "text of one line"),
        (with_file().replace('{"files"', '{"source": "\\ud800", "files"'), "text of one line"),
        (with_file().replace("}]", '}, {"path": "a"}]'), "listed twice"),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(LockError, match=message) as caught:
        loads(text)
    assert ("upgrade fetch" if "lock/2" in text else "fetch lock") in caught.value.hint
    assert len(caught.value.message) < 300


def test_an_entry_answers_only_to_its_manifest() -> None:
    artifact = Artifact("a", "m", HuggingFace("o/n"), request=Request(("x",)))
    entry = locks.locked(artifact, "c" * 40, [FileEntry("x")])
    lock = Lock({("m", "a"): entry})
    assert lock.of(artifact) is entry
    for other in (
        Artifact("a", "m", HuggingFace("o/n", revision="v2"), request=Request(("x",))),
        Artifact("a", "m", HuggingFace("o/n"), request=Request(("y",))),
        Artifact("a", "m", HuggingFace("o/n"), request=Request(("x",), ("z",))),
        Artifact("b", "m", HuggingFace("o/n"), request=Request(("x",))),
        Artifact("a", "other", HuggingFace("o/n"), request=Request(("x",))),
    ):
        assert lock.of(other) is None


def test_files_are_sorted_even_when_little_is_known() -> None:
    artifact = Artifact("a", "m", HuggingFace("o/n"))
    files = [FileEntry("b", 1), FileEntry("a", None, SHA), FileEntry("c")]
    assert [file.path for file in locks.locked(artifact, "", files).files] == ["a", "b", "c"]


def test_reading_and_updating_a_project(tmp_path: Path) -> None:
    assert locks.read(tmp_path) == Lock()
    one, two = GOOD.artifacts["m", "a"], GOOD.artifacts["m", "b"]
    assert locks.update(tmp_path, {("m", "a"): one})
    assert not locks.update(tmp_path, {("m", "a"): one})
    assert locks.update(tmp_path, {("m", "b"): two})
    assert locks.read(tmp_path) == GOOD
    assert locks.update(tmp_path, {}, [("m", "a"), ("m", "gone")])
    assert locks.read(tmp_path).artifacts == {("m", "b"): two}


def test_a_lock_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "fetch.lock"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(LockError, match="cannot be read") as caught:
        locks.read(tmp_path)
    assert caught.value.hint
    path.unlink()
    path.mkdir()
    with pytest.raises(LockError, match="cannot be read: it is a folder"):
        locks.read(tmp_path)


def test_an_unfinished_merge_is_told_as_such() -> None:
    text = "<<<<<<< HEAD\n{}\n=======\n{}\n>>>>>>> other\n"
    with pytest.raises(LockError, match="conflict markers"):
        loads(text)


def artifact(
    files: tuple[str, ...] | None = None, exclude: tuple[str, ...] = (), local: bool = False
) -> Artifact:
    source = Url("https://h/a") if local else HuggingFace("o/n")
    return Artifact("a", "m", source, request=Request(files, exclude))


@pytest.mark.parametrize(
    ("files", "exclude", "paths", "answers"),
    [
        # The whole source: whatever it has, but not nothing.
        (None, (), ("a", "b/c"), True),
        (None, (), (), False),
        # The whole source but for some: an entry with one of them is a wrong one.
        (None, ("*.md",), ("a",), True),
        (None, ("*.md",), ("a", "README.md"), False),
        (None, ("*.md",), (), False),
        # Names to the letter: these and no others.
        (("a", "b"), (), ("a", "b"), True),
        (("a", "b"), (), ("a",), False),
        (("a", "b"), (), ("a", "b", "c"), False),
        (("m_{0..2}",), ("m_1",), ("m_0", "m_2"), True),
        (("m_{0..2}",), ("m_1",), ("m_0", "m_1", "m_2"), False),
        # Globs: nothing that they would not choose.
        (("*.bin",), (), ("a.bin",), True),
        (("*.bin",), (), ("a.bin", "b.txt"), False),
        (("*.bin",), ("b*",), ("a.bin", "b.bin"), False),
        (("*.bin",), (), (), False),
    ],
)
def test_an_entry_holds_what_the_manifest_selects(
    files: tuple[str, ...] | None, exclude: tuple[str, ...], paths: tuple[str, ...], answers: bool
) -> None:
    wanted = artifact(files, exclude)
    entry = locks.locked(wanted, "c" * 40, [FileEntry(path) for path in paths])
    assert (Lock({("m", "a"): entry}).of(wanted) is entry) is answers


def test_a_source_that_lists_nothing_may_name_its_file_otherwise() -> None:
    wanted = artifact(("*",), local=True)
    entry = locks.locked(wanted, "", [FileEntry("a")])
    assert Lock({("m", "a"): entry}).of(wanted) is entry


def test_a_pattern_that_cannot_be_read_answers_to_nothing() -> None:
    wanted = artifact(("*{3..1}",))
    entry = locks.locked(wanted, "", [FileEntry("a")])
    assert Lock({("m", "a"): entry}).of(wanted) is None


def test_two_runs_do_not_lose_each_others_entries(tmp_path: Path) -> None:
    one, two = GOOD.artifacts["m", "a"], GOOD.artifacts["m", "b"]
    assert locks.update(tmp_path, {("m", "a"): one})
    before = (tmp_path / "fetch.lock").stat().st_mtime_ns
    assert not locks.update(tmp_path, {}, [("m", "gone")])
    assert (tmp_path / "fetch.lock").stat().st_mtime_ns == before
    assert locks.update(tmp_path, {("m", "b"): two}, [("m", "a")])
    assert locks.read(tmp_path).artifacts == {("m", "b"): two}


def test_an_empty_lock_is_written_once(tmp_path: Path) -> None:
    assert locks.update(tmp_path, {})
    assert not locks.update(tmp_path, {})
    assert loads((tmp_path / "fetch.lock").read_text("utf-8")) == Lock()


def test_every_fact_of_a_file_is_kept() -> None:
    file = FileEntry("a", 0, SHA, "b" * 40, True, "d" * 32)
    facts = {"path": "a", "size": 0, "sha256": SHA, "git_blob": "b" * 40, "md5": "d" * 32}
    assert json.loads(locks._file_line(file)).items() >= {**facts, "lfs": True}.items()
    for found in (file, FileEntry("a"), FileEntry("a", 2**63 - 1)):
        lock = Lock({("m", "a"): LockedArtifact("s", "r", "", (found,))})
        assert loads(dumps(lock)) == lock
    # Anything but true is no mark.
    text = with_file(lfs=1)
    assert loads(text).artifacts["m", "a"].files[0].lfs is False


def test_the_key_that_stands_twice_is_named() -> None:
    with pytest.raises(LockError, match=r"the key 'b' stands twice"):
        loads('{"a": 1, "b": 2, "c": 3, "b": 4}')


def test_messages_name_the_file_that_was_read() -> None:
    with pytest.raises(LockError, match=r"other\.lock: m/a has no list of files") as caught:
        loads('{"schema": "fetch.lock/1", "manifests": {"m": {"a": {}}}}', "other.lock")
    assert "other.lock" in caught.value.hint


@pytest.mark.parametrize(
    "change",
    [
        ('"archives": [', '"archives": 5, "x": ['),
        ('"archive": "a.zip"}', '"archive": "a\\nb"}'),
        ('"archive": "a.zip"}', '"archive": 5}'),
        ('"path": "a.zip"', '"path": "../a.zip"'),
        ('"size": 9, "archive": "a.zip"}', '"size": 9}'),
        ('"size": 3, "archive": "a.zip"', '"size": 3, "archive": "b.zip"'),
    ],
)
def test_archives_that_are_not_as_written_are_refused(change: tuple[str, str]) -> None:
    member = FileEntry("x", 3, archive="a.zip", executable=True)
    archive = FileEntry("a.zip", 9, archive="a.zip")
    text = dumps(Lock({("m", "a"): LockedArtifact("s", "", "", (member,), archives=(archive,))}))
    assert loads(text).artifacts["m", "a"].files == (member,)
    assert change[0] in text
    with pytest.raises(LockError):
        loads(text.replace(*change))
