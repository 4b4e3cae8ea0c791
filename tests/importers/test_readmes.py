"""Pages as authors of the field write them: every file at its place, nothing invented, and what
cannot be fetched named."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
import yaml

from fetcher.importers import documents
from tests.importers.documents import read, tree_of

PAGES = Path(__file__).parent / "readmes"
EXPECTED = yaml.safe_load((PAGES / "expected.yaml").read_text("utf-8"))


def plain(origin: str) -> str:
    """Where something comes from, in one spelling for files alone and files of a folder."""
    found = []
    for part in origin.split(" + "):
        tail = " unpacked" if " unpacked" in part else ""
        text = re.sub(r" unpacked.*", "", part).replace(" (optional)", "")
        if hub := re.fullmatch(r"hf:([\w./-]+)@main(?::(\S+))?(?: (.*))?", text):
            name = hub[3] or ""
            if hub[2] and not name.startswith(("[", "but")):
                name = f"{hub[2]}/{name}".rstrip("/")
            text = f"hf:{hub[1]} {name}".strip()
        elif text.startswith(("http", "gdrive")):
            address, _, name = text.partition(" ")
            text = address + name if address.endswith("/") else address
        elif release := re.fullmatch(r"github:([\w./-]+) release (\S+) (\S+)", text):
            text = "https://github.com/{}/releases/download/{}/{}".format(*release.groups())
        found.append(text + tail)
    return " + ".join(sorted(found))


@pytest.mark.parametrize("name", EXPECTED)
def test_a_page_gives_what_it_says_and_names_the_rest(name: str) -> None:
    made, root = read(PAGES / name)
    top = f"{root}/" if root else ""
    found = {top + target: plain(origin) for target, origin in tree_of(made).items()}
    expected = EXPECTED[name]
    assert found == {target: plain(origin) for target, origin in expected["tree"].items()}
    told = " ".join(f"{remark.reason} {remark.text}" for remark in made.remarks)
    assert [words for words in expected.get("named", ()) if words not in told] == []


def test_each_page_has_its_expectation() -> None:
    names = {path.name for path in PAGES.iterdir()} - {"expected.yaml"}
    assert names == set(EXPECTED) and len(names) >= 63


# Pages on which each link or section was once compared with all others: 30 s and more.
ROWS = "| Model | Folder | Link |\n|--|--|--|\n" + "".join(
    f"| m{n} | `weights/x{n}` | [Hub](https://huggingface.co/o/m{n}) |\n" for n in range(3000)
)
DRAWN = (
    "## Weights\n\n"
    + "".join(f"- [m{n}.pth](https://h.example.com/a/m{n}.pth)\n" for n in range(3000))
    + "\n```\nweights/\n"
    + "".join(f"├── m{n}.pth\n" for n in range(3000))
    + "```\n"
)
PARTS = "# P\n\nPut all models into `w/`.\n\n" + "".join(
    f"## s{n}\n\n| Model | Link |\n|--|--|\n| m | [a](https://h.example.com/{n}.pth) |\n\ntext\n\n"
    for n in range(3000)
)


@pytest.mark.parametrize("text", [ROWS, DRAWN, PARTS], ids=["rows", "drawn", "parts"])
def test_a_page_of_thousands_of_links_is_read_in_seconds(text: str) -> None:
    begun = time.process_time()
    found = documents.read(text, documents.Where("README.md", project="p"), "page").tree
    assert len(found.files) + len(found.repos) == 3000
    assert time.process_time() - begun < 8
