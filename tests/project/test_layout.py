"""Layouts: the tree as it is written, and one message with its exact place for each mistake."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetcher.project import manifest as manifests
from fetcher.project.crosscheck import cross_check
from fetcher.project.layout import Layout, decode, owner_of, placements
from fetcher.sources.base import FileEntry
from fetcher.yamldoc.nodes import Document, parse

MANIFEST = """\
manifest: m
artifacts:
  repo: {source: hf:o/repo}
  pair: {source: hf:o/pair, files: [a.bin, sub/b.bin]}
  one: {source: gh:o/one, files: [x.pth]}
"""


def load(text: str) -> tuple[Layout, Document]:
    document = parse(f"layout: m\n{text}".encode(), "l.yaml")
    layout = decode(document)
    assert layout is not None
    return layout, document


def both(text: str, manifest: str = MANIFEST) -> list[str]:
    """All problems of a layout beside its manifest, in order of the files' lines."""
    layout, document = load(text)
    manifest_doc = parse(manifest.encode(), "m.yaml")
    found = manifests.decode(manifest_doc)
    assert found is not None
    cross_check(found, layout, manifest_doc, document)
    problems = sorted(set(document.problems + manifest_doc.problems))
    return [f"{p}{' | ' + p.hint if p.hint else ''}" for p in problems]


def placed(text: str, *names: str, artifact: str = "repo") -> dict[str, str]:
    """What stands where."""
    layout, document = load(text)
    assert document.problems == []
    manifest_doc = parse(MANIFEST.encode(), "m.yaml")
    manifest = manifests.decode(manifest_doc)
    assert manifest is not None
    files = [FileEntry(name) for name in names]
    found, problems = placements(layout, manifest.artifacts[artifact], files)
    assert problems == []
    targets = [item.target for item in found]
    assert len(targets) == len(set(targets)), "a target is placed once"
    return {item.target: item.file.path for item in found}


REST = "  p/: pair\n  o: one\n  r/: repo\n"


@pytest.mark.parametrize(
    ("tree", "targets"),
    [
        ("r/: repo", {"r/a": "a", "r/s/b": "s/b", "r/s/t/c": "s/t/c"}),
        ("./: repo", {"a": "a", "s/b": "s/b", "s/t/c": "s/t/c"}),
        (".: repo", {"a": "a", "s/b": "s/b", "s/t/c": "s/t/c"}),
        ("r/: repo/s", {"r/b": "s/b", "r/t/c": "s/t/c"}),
        ("r/: repo/s/", {"r/b": "s/b", "r/t/c": "s/t/c"}),
        ("r/x.bin: repo/s/t/c", {"r/x.bin": "s/t/c"}),
        ("r: {x: repo/a, y/z: {w: repo/s/b}}", {"r/x": "a", "r/y/z/w": "s/b"}),
        ("r/: [repo/s, repo/s/t]", {"r/b": "s/b", "r/t/c": "s/t/c", "r/c": "s/t/c"}),
        ("r: {./: repo/s}", {"r/b": "s/b", "r/t/c": "s/t/c"}),
        ("{a/: repo/s/t, b: repo/s/t/c}", {"a/c": "s/t/c", "b": "s/t/c"}),
        ("{a/: repo, a/new: repo/a}", {"a/new": "a", "a/s/b": "s/b", "a/s/t/c": "s/t/c"}),
        ("{a/: repo, a/a: repo/a}", {"a/a": "a", "a/s/b": "s/b", "a/s/t/c": "s/t/c"}),
        ("{x: repo/s/b, a/: repo}", {"x": "s/b", "a/a": "a", "a/s/t/c": "s/t/c"}),
        ("{a/: repo, b/: repo/s}", {"a/a": "a", "b/b": "s/b", "b/t/c": "s/t/c"}),
        (
            "{a/: repo, b/: repo/s, c: repo/s/t/c}",
            {"a/a": "a", "b/b": "s/b", "b/t/c": "s/t/c", "c": "s/t/c"},
        ),
        (
            "{a/: repo, x: repo/a, y: repo/a}",
            {"x": "a", "y": "a", "a/s/b": "s/b", "a/s/t/c": "s/t/c"},
        ),
        (
            "{a/: repo, b/: repo}",
            {
                "a/a": "a",
                "a/s/b": "s/b",
                "a/s/t/c": "s/t/c",
                "b/a": "a",
                "b/s/b": "s/b",
                "b/s/t/c": "s/t/c",
            },
        ),
        (
            "{a/: repo, a/a: repo/s/b, a/s/b: repo/a}",
            {"a/a": "s/b", "a/s/b": "a", "a/s/t/c": "s/t/c"},
        ),
        ("가/나.bin: repo/a", {"가/나.bin": "a"}),
        ("1: repo/a", {"1": "a"}),
    ],
)
def test_where_files_go(tree: str, targets: dict[str, str]) -> None:
    text = f"tree: {tree}" if tree.startswith("{") else f"tree:\n  {tree}"
    assert placed(text, "a", "s/b", "s/t/c") == targets


@given(st.data())
def test_a_whole_artifact_is_what_no_other_key_names(data: st.DataObject) -> None:
    names = ["a", "s/b", "s/t/c", "s/t/d", "u/e"]
    paths = [*names, "s", "s/t", "u"]
    claims = data.draw(st.lists(st.sampled_from(paths), unique=True))
    lines = "".join(
        f"  {n}{'' if path in names else '/'}: repo/{path}\n" for n, path in enumerate(claims)
    )
    found = placed(f"tree:\n  whole/: repo\n{lines}", *names)
    for name in names:
        claimed = [n for n, p in enumerate(claims) if name == p or name.startswith(p + "/")]
        targets = sorted(target.partition("/")[0] for target, of in found.items() if of == name)
        assert targets == (sorted(map(str, claimed)) or ["whole"])


def test_what_is_renamed_leaves_its_name_to_another() -> None:
    assert both("tree:\n  p/: pair\n  p/a.bin: one\n  p/new.bin: pair/a.bin\n  r/: repo\n") == []
    found = both("tree:\n  p/: pair\n  p/sub/b.bin: pair/a.bin\n  o: one\n  r/: repo\n")
    assert found and "two files fall on 'p/sub/b.bin'" in found[0]


def test_a_whole_artifact_of_one_file_may_be_renamed() -> None:
    assert placed("tree: {dir/new.pt: one}", "x.pth", artifact="one") == {"dir/new.pt": "x.pth"}


def test_what_a_listing_shows_to_be_wrong() -> None:
    layout, _ = load("tree:\n  r/: repo/nope\n  f: repo/s\n  g: repo\n  h/: repo/a\n")
    manifest = manifests.decode(parse(MANIFEST.encode(), "m.yaml"))
    assert manifest is not None
    found, problems = placements(
        layout, manifest.artifacts["repo"], [FileEntry("a"), FileEntry("s/b")]
    )
    assert found == []
    assert [(p.code, p.message.split(" ")[0]) for p in problems] == [
        ("layout-mismatch", f"l.yaml:{line}:{column}:")
        for line, column in ((3, 7), (4, 6), (5, 6), (6, 7))
    ]
    assert "end the key in '/'" in problems[1].hint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"rot: x\ntree:\n{REST}", "2:1: a layout has no key 'rot'"),
        (f"root: ../x\ntree:\n{REST}", "2:7: '../x' leads out"),
        (f"root: /x\ntree:\n{REST}", "2:7: '/x' is absolute"),
        (f"root: ~/x\ntree:\n{REST}", "2:7: '~/x' starts with '~'"),
        (f"root: C:\\x\ntree:\n{REST}", "2:7: 'C:\\\\x' has a backslash"),
        (f"tree:\n  ../x: one\n{REST}", "3:3: '../x' leads out"),
        (f"tree:\n  /: one\n{REST}", "3:3: '/' is absolute"),
        (f"tree:\n  /x: one\n{REST}", "3:3: '/x' is absolute"),
        (f"tree:\n  a//b: one\n{REST}", "3:3: 'a//b' has an empty"),
        (f"tree:\n  nul: one\n{REST}", "3:3: 'nul' is a device name"),
        (f"tree:\n  a/.git/b: one\n{REST}", "3:3: 'a/.git/b' has '.git', which belongs to git"),
        (f"tree:\n  x: [one, pair]\n{REST}", "3:6: a list needs a folder"),
        (f"tree:\n  x: [repo/a, one, repo/b]\n{REST}", "3:7: 'repo' is listed twice"),
        (f"tree:\n  x/: []\n{REST}", "3:7: found an empty list, expected an artifact's id"),
        (f"tree:\n  x:\n{REST}", "3:5: found nothing, expected an artifact's id"),
        (f"tree:\n  x/: [one, [pair]]\n{REST}", "3:13: found a list, expected an artifact's id"),
        (f"tree:\n  x/: [repo, repo]\n{REST}", "3:14: 'repo' is listed twice"),
        (f"tree:\n  x: a b/c\n{REST}", "3:6: 'a b/c' is not an artifact's id"),
        (f"tree:\n  x: repo/../y\n{REST}", "3:6: 'repo/../y' leads out"),
        (f"tree:\n  x: on/x.pth\n{REST}", "3:6: manifest 'm' has no artifact 'on'"),
        (
            f"tree:\n  x: zzz\n{REST}",
            "3:6: manifest 'm' has no artifact 'zzz' | its artifacts: one",
        ),
        (f"tree:\n  x: pair/a.bim\n{REST}", "3:6: artifact 'pair' has no file 'a.bim' | did you"),
        (f"tree:\n  x: pair/sub\n{REST}", "3:6: artifact 'pair' has no file 'sub' | it is a fold"),
        (f"tree:\n  x/: pair/a.bin\n{REST}", "3:7: artifact 'pair' has no folder 'a.bin'"),
        (f"tree:\n  x/: pair/nope\n{REST}", "3:7: artifact 'pair' has no folder 'nope'"),
        (f"tree:\n  x: pair\n{REST}", "3:6: artifact 'pair' has 2 files, which cannot stand"),
        (f"tree:\n{REST}  O: one\n", "6:3: 'O' collides with 'o'"),
        (f"tree:\n{REST}  o/x: one\n", "6:3: 'o/x' collides with 'o'"),
        (f"tree:\n{REST}  o/: repo\n", "6:3: two files fall on 'o'"),
        (f"tree:\n{REST}  p/a.bin: one\n", "6:12: two files fall on 'p/a.bin'"),
        (f"tree:\n{REST}  P/sub: one\n", "6:10: collides with 'p/sub/b.bin': 'P/sub'"),
        (f"tree:\n{REST}  o: pair/a.bin\n", "6:3: duplicate key 'o'"),
        (f"tree:\n{REST}hub_cache: [one]\n", "6:13: 'one' comes from github, the Hugging Face"),
        (f"tree:\n{REST}hub_cache: [rep]\n", "6:13: manifest 'm' has no artifact 'rep'"),
        (f"tree:\n{REST}hub_cache: [repo, repo]\n", "6:19: 'repo' is listed twice"),
        (f"tree:\n{REST}hub_cash: [repo]\n", "6:1: a layout has no key 'hub_cash'"),
        (f"tree:\n{REST}edits: {{q.json: {{a: 1}}}}\n", "6:9: the tree places no file at 'q.json'"),
        (f"tree:\n{REST}edits: {{p/a.bim: {{a: 1}}}}\n", "6:9: the tree places no file at 'p/a.b"),
        (
            f"tree:\n{REST}edits: {{o: {{}}}}\n",
            "6:12: found an empty mapping, expected a mapping w",
        ),
        (f"tree:\n{REST}edits: {{o: 1}}\n", "6:12: found '1', expected a mapping"),
        (f"tree:\n{REST}edits: {{../o: {{a: 1}}}}\n", "6:9: '../o' leads out"),
        (f"tree:\n{REST}edits: {{o: {{a: 1e999}}}}\n", "6:16: '1e999' is too large"),
        (f"tree:\n{REST}writable: nope\n", "6:11: the tree places no file at 'nope'"),
        (f"tree:\n{REST}writable: ['[z-a]']\n", "6:12: '[z-a]' '[z-a]' is no valid glob"),
        ("tree:\n  p/: pair\n  o: one\n", "m.yaml:3:3: artifact 'repo' has no place in layout"),
        (
            "tree:\n  p/: pair\n  o: one\n  r/: rep\n",
            "5:7: manifest 'm' has no artifact 'rep' | did",
        ),
        ("tree: [pair, one, repo]", "2:7: found a list, expected a folder"),
        ("tree:\n", "2:6: found nothing, expected a folder"),
        ("hub_cache: [repo]", "1:1: a layout needs the key 'tree'"),
        ("trees: {p/: pair}", "2:1: a layout has no key 'trees'"),
    ],
)
def test_one_mistake_is_one_message(text: str, message: str) -> None:
    [found] = both(text)
    assert found.removeprefix("l.yaml:").startswith(message)


def test_a_sound_layout_has_no_problems() -> None:
    text = (
        f"tree:\n{REST}hub_cache: repo\nedits: {{r/x/c.json: {{a: '{{root}}'}}}}\nwritable: [r/]\n"
    )
    assert both(text) == []
    layout, _ = load(text)
    assert layout.hub_cache == ("repo",)
    assert owner_of(layout, "p/x/y") == "pair"
    assert owner_of(layout, "o") == "one"
    assert owner_of(layout, "elsewhere") == ""


def test_versions_are_two_names_and_slips_are_one() -> None:
    manifest = MANIFEST.replace("  repo:", "  net-v1:")
    rest = REST.replace("  r/: repo\n", "")
    assert len(both(f"tree:\n{rest}  x/: net-v2\n", manifest)) == 2
    assert len(both(f"tree:\n{rest}  x/: nte-v1\n", manifest)) == 1


@pytest.mark.parametrize(
    ("patterns", "yes", "no"),
    [
        ("[models/]", ["models/a", "models/b/c"], ["models", "other/models/a"]),
        ("['**/*.pt']", ["a.pt", "x/b.pt"], ["a.pth"]),
        ("['m_{0..1}.pt']", ["m_0.pt", "m_1.pt"], ["m_2.pt"]),
        ("'a[1].pt'", ["a[1].pt", "a1.pt"], ["a.pt"]),
        ("[]", [], ["a"]),
    ],
)
def test_writable_targets(patterns: str, yes: list[str], no: list[str]) -> None:
    layout, document = load(f"writable: {patterns}\ntree: {{}}\n")
    assert document.problems == []
    assert [target for target in yes if not layout.is_writable(target)] == []
    assert [target for target in no if layout.is_writable(target)] == []


@pytest.mark.parametrize(
    ("text", "root"), [("", ""), ("root: .\n", ""), ("root: ./\n", ""), ("root: a/b/\n", "a/b")]
)
def test_roots(text: str, root: str) -> None:
    layout, document = load(f"{text}tree: {{}}")
    assert document.problems == []
    assert layout.root == root


KEYS = st.sampled_from(["a", "a/", "b/c", "b/c/", ".", "./", "A", "é", "a/b", "../x", "''", "1"])
VALUES = st.recursive(
    st.sampled_from(["repo", "pair", "one", "pair/a.bin", "pair/sub", "zzz", "~", "1", "''"]),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.lists(st.tuples(KEYS, inner), max_size=3).map(
            lambda pairs: "{" + ", ".join(f"{key}: {value}" for key, value in pairs) + "}"
        )
    ),
    max_leaves=6,
)


@given(VALUES, VALUES, VALUES)
def test_any_tree_is_sound_or_has_problems_within_the_file(a: str, b: str, c: str) -> None:
    text = f"tree: {a}\nhub_cache: {b}\nedits: {c}\n"
    problems = both(text)
    assert all(problem.startswith(("l.yaml:", "m.yaml:")) for problem in problems)
    if not problems:
        layout, _ = load(text)
        targets = [entry.target for entry in layout.entries if not entry.folder]
        assert len(targets) == len(set(targets))
