"""The block of `.gitignore`: lines of the person's stay, marks without a partner are theirs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetcher.tree import gitignore
from fetcher.tree.gitignore import BEGIN, END, groups_of, line_of, with_groups

GROUPS = {"p": ["/m/", "/a.bin"], "q": ["/n/w.bin"]}
needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not there")


@given(
    st.sampled_from([BEGIN, END]),
    st.lists(st.sampled_from(["*.pyc", "!/keep", "", "# words", "  # >>> fetch", "mark"])),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
def test_the_persons_lines_stay_in_their_order(
    mark: str, lines: list[str], newline: str, ends: bool
) -> None:
    mine = [mark if line == "mark" else line for line in lines]
    once = with_groups(newline.join(mine) + newline * ends, GROUPS)
    assert with_groups(once, GROUPS) == once
    assert groups_of(once) == {"p": ["/a.bin", "/m/"], "q": ["/n/w.bin"]}
    without = with_groups(once, {}).splitlines()
    assert [line for line in without if line] == [line for line in mine if line]


def test_a_merge_conflict_within_the_block_goes() -> None:
    block = f"{BEGIN}\n<<<<<<< HEAD\n/a\n=======\n/b\n>>>>>>> x\n{END}\n"
    assert "<<<" not in with_groups(f"mine\n{block}more\n", GROUPS).replace(END, "")


@needs_git
@pytest.mark.parametrize(
    "name", ["a b", "a*b", "[x]", "#a", "!a", "back\\slash", "trail ", "한국어", "q?", "a#b"]
)
def test_git_reads_a_line_as_that_path_alone(tmp_path: Path, name: str) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    others = ["aXb", "x", "a", "b", "trail", "qq", f"sub/{name}"]
    for path in [name, *others]:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text("x")
    (tmp_path / ".gitignore").write_text(f"{line_of(name)}\n", "utf-8")
    asked = subprocess.run(
        ["git", "-C", tmp_path, "check-ignore", "-z", "--stdin"],
        input="\0".join([name, *others]).encode(),
        capture_output=True,
        check=False,
    )
    assert asked.stdout.decode() == f"{name}\0"


@needs_git
@pytest.mark.parametrize("version", ["2", "4"])
@pytest.mark.parametrize("kind", ["sha1", "sha256"])
def test_gits_index_is_read(tmp_path: Path, version: str, kind: str) -> None:
    def git(*arguments: str) -> None:
        subprocess.run(["git", "-C", tmp_path, *arguments], check=True)

    git("init", "-q", f"--object-format={kind}")
    names = sorted(["a", "sub/b", "sub/deeper/" + "long" * 40, "z z"])
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    git("add", ".")
    git("update-index", "--index-version", version)
    assert sorted(gitignore.tracked(tmp_path, tmp_path)) == names
    assert sorted(gitignore.tracked(tmp_path, tmp_path / "sub")) == [
        "b",
        "deeper/" + "long" * 40,
    ]
    index = tmp_path / ".git/index"
    whole = index.read_bytes()
    for length in range(0, len(whole), 7):  # torn or hostile: nothing is read, nothing raised
        index.write_bytes(whole[:length])
        list(gitignore.tracked(tmp_path, tmp_path))
