"""The document of Oh-LoRA: each row of its tables, and both of its trees, are what is laid out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fetcher.fs.patterns import literal_names
from fetcher.project.layout import placements
from fetcher.project.manifest import Artifact
from fetcher.project.project import Project
from fetcher.sources.base import FileEntry
from tests.documents.blocks import Block, blocks, tables
from tests.servers.ohlora import expected_tree

ROOT = Path(__file__).parents[2]
MODELS, OWN, DATASETS = tables("004")
# A slip of the document's hand; the Hub has the right one.
SPELLED = {".gitarrtibutes": ".gitattributes"}


UNIT = Project(ROOT).load(["ohlora"])[0]
# What a run against stand-ins of every source lays out (tests/e2e/test_ohlora.py).
TREE = expected_tree()


def targets(artifact: Artifact) -> set[str]:
    """Where the files that the manifest names go, below the project's own root."""
    names = literal_names(artifact.request.files, artifact.request.exclude) or []
    entries = [FileEntry(name) for name in names]
    return {found.target for found in placements(UNIT.layout, artifact, entries)[0]}


EVERY = {target: a for a in UNIT.manifest.artifacts.values() for target in targets(a)}


def goes_to(artifact: Artifact, wanted: str) -> bool:
    """Whether the layout places a file of it there, or in that folder."""
    entries = [FileEntry("any")] if not targets(artifact) else []
    found = {p.target for p in placements(UNIT.layout, artifact, entries)[0]} | targets(artifact)
    return any(t == wanted or (wanted.endswith("/") and t.startswith(wanted)) for t in found)


def cell(row: dict[str, str], word: str) -> str:
    return next(text for name, text in row.items() if word in name)


def directory(row: dict[str, str]) -> str:
    return cell(row, "저장 위치").strip("`")


def listed_names(text: str) -> list[str]:
    """The file names of a cell: with {k} for k = 0,1,2 …, or first, second ... last."""
    names = re.findall(r"```([^`]+)```", text)
    if "{k}" in text:
        numbers = re.search(r"k = ([\d,]+)", text)
        assert numbers
        return [names[0].replace("{k}", k) for k in numbers[1].split(",")]
    return names


@pytest.mark.parametrize("row", [*MODELS.rows, *OWN.rows, *DATASETS.rows], ids=directory)
def test_each_row_s_files_stand_in_its_directory(row: dict[str, str]) -> None:
    names = listed_names(cell(row, "파일 이름"))
    for name in names:
        assert f"{directory(row)}/{name}" in EVERY
    if not names:  # "see the paragraph": a folder of its own
        below = [path for path in TREE if f"/{directory(row)}/" in path]
        placed = "klue/roberta-base" in cell(row, "다운로드")  # loaded by id: in the Hub's cache
        assert below or placed


@pytest.mark.parametrize("row", [*OWN.rows, *DATASETS.rows], ids=directory)
def test_each_row_comes_from_where_it_says(row: dict[str, str]) -> None:
    repository = re.search(r"huggingface\.co/(?:datasets/)?([^/]+/[^/)]+)", cell(row, "다운로드"))
    assert repository
    below = [a for a in UNIT.manifest.artifacts.values() if goes_to(a, directory(row) + "/")]
    assert any(repository[1] in artifact.source.describe() for artifact in below)


def test_what_the_document_marks_is_what_the_runtime_needs() -> None:
    marked = [row for row in OWN.rows if "✅" in cell(row, "모델 이름")]
    assert len(marked) == 3
    for row in marked:
        names = listed_names(cell(row, "파일 이름"))
        wanted = f"{directory(row)}/{names[0]}" if names else directory(row) + "/"
        inside = [a for a in UNIT.manifest.artifacts.values() if goes_to(a, wanted)]
        assert inside and all("runtime" in artifact.groups for artifact in inside)


def test_both_data_sets_are_needed_by_the_same_rule() -> None:
    sets = [a for a in UNIT.manifest.artifacts.values() if a.info["kind"] == "dataset"]
    assert len(sets) == len(DATASETS.rows) == 2
    assert len({(a.optional, a.groups) for a in sets}) == 1
    counts = [10_000, 4_703]
    for row, artifact, count in zip(DATASETS.rows, sets, counts, strict=True):
        assert len(targets(artifact)) == count
        assert f"{count:,} files" in cell(row, "파일 이름") or "10K files" in cell(row, "파일 이름")


@pytest.mark.parametrize(("block", "count"), list(zip(blocks("004"), (8, 12), strict=True)))
def test_a_printed_tree_is_the_laid_out_tree(block: Block, count: int) -> None:
    lines = re.findall(r"^( *)- (\S+)(.*)$", block.text, re.M)
    folders: list[str] = []
    printed = set()
    for indent, name, remark in lines:
        depth = len(indent) // 2
        folders[depth:] = [name]
        if "다운로드 받은 파일" in remark:
            printed.add("/".join(["2025_04_08_OhLoRA", *folders[:depth], SPELLED.get(name, name)]))
    assert len(printed) == count
    folder = directory(OWN.rows[-2 if count == 8 else -1])
    below = f"2025_04_08_OhLoRA/{folder}/"
    assert printed == {path for path in TREE if path.startswith(below)}
