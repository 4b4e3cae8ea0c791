"""Projects of several documents: what `fetch init --from .` makes of all of them together.

A file of `projects/` is a project's folder: each of its documents follows a line `=== path`.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
import yaml

from fetcher.config.settings import Settings
from fetcher.importers.draft import draft
from fetcher.importers.reading import Gathered, gather
from tests.importers.documents import tree_of
from tests.importers.test_readmes import plain

PROJECTS = Path(__file__).parent / "projects"
EXPECTED = yaml.safe_load((PROJECTS / "expected.yaml").read_text("utf-8"))
LONG = 20  # files of one series that an expectation names one by one


def written(text: str, root: Path) -> Path:
    """The folder of a project whose documents one text holds."""
    for part in re.split(r"^=== ", text, flags=re.M)[1:]:
        name, _, content = part.partition("\n")
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content, "utf-8")
    return root


def gathered(root: Path) -> Gathered:
    return gather([str(root)], root, Settings(root, {}))


def folded(tree: dict[str, str]) -> dict[str, str]:
    """A tree in which a long series of files is one line with their number."""
    kinds = {key: re.sub(r"\d+", "#", key) for key in tree}
    counts = Counter(kinds.values())
    found = {key: value for key, value in tree.items() if counts[kinds[key]] <= LONG}
    for kind, count in counts.items():
        if count > LONG:
            values = {re.sub(r"\d+(?=\.)", "#", tree[key]) for key in tree if kinds[key] == kind}
            found[f"{kind} ({count})"] = " + ".join(sorted(values))
    return found


def read(name: str, folder: Path) -> tuple[dict[str, str], str]:
    """What a project's documents come to, and all that is left to a person."""
    found = gathered(written((PROJECTS / f"{name}.txt").read_text("utf-8"), folder / name))
    made = draft(found.tree)
    top = f"{found.root}/" if found.root else ""
    tree = {top + target: plain(origin) for target, origin in tree_of(made).items()}
    told = " ".join(f"{remark.reason} {remark.text}" for remark in made.remarks)
    return folded(tree), told


@pytest.mark.parametrize("name", EXPECTED)
def test_all_documents_together_give_the_project(name: str, tmp_path: Path) -> None:
    tree, told = read(name, tmp_path)
    assert tree == EXPECTED[name]["tree"]
    assert [words for words in EXPECTED[name].get("named", ()) if words not in told] == []


def test_each_project_has_its_expectation() -> None:
    names = {path.stem for path in PROJECTS.glob("*.txt")}
    assert names == set(EXPECTED) and len(names) >= 24
