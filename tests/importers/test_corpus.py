"""Scripts, pages and lists as real projects write them: what is read, and what is left."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.importers.documents import read, tree_of

CORPUS = Path(__file__).parent / "corpus"
EXPECTED = yaml.safe_load((CORPUS / "expected.yaml").read_text("utf-8"))
DOCUMENTS = sorted(
    path.name for path in CORPUS.iterdir() if path.name not in {"expected.yaml", "__init__.py"}
)


def inside(name: str) -> str:
    """Scripts lie in scripts/, as those of most projects."""
    return f"scripts/{name}" if name.endswith((".sh", ".py")) else name


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_gives_its_tree_and_what_is_left(name: str) -> None:
    made, root = read(CORPUS / name, inside(name))
    expected = EXPECTED[name]
    assert root == expected.get("root", "")
    assert tree_of(made) == expected["tree"]
    assert sorted({remark.line for remark in made.remarks}) == expected["left"]


def test_there_are_enough_of_them_and_each_has_its_expectation() -> None:
    assert len(DOCUMENTS) >= 25
    assert set(EXPECTED) == set(DOCUMENTS)
