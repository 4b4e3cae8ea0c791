"""Every page is in its place, leads somewhere, and can be read."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import lru_cache
from urllib.parse import urlsplit

import pytest
from fetcher.verify.contract import built_in_probes

from benchmarks import tables as measured
from fetcher.config import settings
from fetcher.errors import EXIT_CODES, PRECEDENCE
from fetcher.project import layout, manifest
from fetcher.reporting import envelope
from fetcher.sources import BUILT_IN
from tests.i18n import catalog
from tests.json_schemas import validate
from website import examples, markdown, navigation, reference, schema_tables
from website.navigation import ROOT

# Those that are written to be read by people who just came; the others are older.
PLAIN = [
    *("start", "faq", "exit-codes", "json", "sources", "clusters", "upgrade", "comparison"),
    *("troubleshooting", "adopting", "ci"),
]
PAGES = sorted({*navigation.pages(), navigation.INDEX, "README.md"})


def text(page: str) -> str:
    return (ROOT / page).read_text("utf-8")


def test_each_page_has_one_place() -> None:
    assert navigation.unlisted() == [], "put it into website/navigation.py"
    titles = [navigation.title(page) for page in navigation.pages()]
    assert len({title.casefold() for title in titles}) == len(titles), "two pages of one subject"


MADE = """
import json
from website import navigation, reference
print(json.dumps({**reference.pages(), navigation.INDEX: navigation.index()}))
"""


def test_what_is_made_is_current() -> None:
    # In a process of its own: what a command's help says is in the language of its first import.
    done = subprocess.run(
        [sys.executable, "-c", MADE], cwd=ROOT, stdout=subprocess.PIPE, check=True
    )
    for page, made in json.loads(done.stdout).items():
        assert made == text(page), f"{page} is not as the code is: make schemas"


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for link in markdown.links(text(page)):
        if urlsplit(link).scheme:
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.is_file(), f"{page}: {link} leads nowhere: correct the path"
        if anchor:
            known = markdown.anchors(target.read_text("utf-8"))
            assert anchor in known, f"{page}: {link}: no such heading, there are {sorted(known)}"


# Where the pages lead to outside. A new host is looked at by a person, and put here.
OUTSIDE = {"github.com", "pypi.org", "spdx.github.io"}


def test_links_to_outside_are_well_formed_and_lead_to_known_hosts() -> None:
    links = {link for page in PAGES for link in markdown.links(text(page)) if "://" in link}
    parts = [urlsplit(link) for link in links]
    assert {part.hostname for part in parts} == OUTSIDE
    for part in parts:
        assert part.scheme == "https" and not part.username and not part.query, part.geturl()


# --- references


def test_every_key_has_a_meaning_and_a_right_example() -> None:
    tried = 0
    for schema, known in (
        (manifest.json_schema(), examples.MANIFEST),
        (settings.json_schema(), examples.SETTINGS),
        (layout.json_schema(), examples.LAYOUT),
    ):
        for table in schema_tables.tables(schema):
            for key in table.keys:
                name = ".".join(key.path)
                assert key.meaning or key.path[-1] == "type", f"{name} has no description"
                if key.path[-1] in examples.ABRIDGED or set(key.path) & {"to", "dropbox"}:
                    continue
                try:
                    value = schema_tables.example(key, known)
                except KeyError:  # the folders of libraries, which are all alike
                    assert "$ref" in key.schema
                    continue
                whole = {**key.schema, "$defs": schema.get("$defs", {})}
                validate(value, whole)
                tried += 1
    assert tried > 150


def test_every_setting_command_and_option_is_in_the_reference() -> None:
    shown = text("docs/reference/settings.md")
    for name, spec in settings.SPECS.items():
        for variable in spec.env:
            assert f"`{variable}`" in shown, name
    cli = text("docs/reference/cli.md")
    for name, command in reference.commands():
        section = re.search(rf"^###? fetch {name}\n(.*?)(?=^##|\Z)", cli, re.M | re.S)
        assert section, name
        for parameter in command.params:
            for option in parameter.opts if parameter.param_type_name == "option" else ():
                assert f"`{option}`" in section[1] or option in {"-v", "--verbose"}, (name, option)


def test_every_command_has_an_example() -> None:
    """In a block that a test runs: see test_commands.py."""
    shown = reference.examples_shown()
    without = {name for name, command in reference.commands() if not hasattr(command, "commands")}
    assert without - set(shown) == set(), "show it in a block of its page"


def test_every_exit_code_error_code_and_source_has_its_row() -> None:
    page = text("docs/exit-codes.md")
    for code, number in EXIT_CODES.items():
        assert re.search(rf"^\| `{code}` \| {number} \| \w", page, re.M), code
    for number in {0, 1, 130, *EXIT_CODES.values()}:
        assert re.search(rf"^\| {number} \| \w", page, re.M), number
    rows = "\n".join(line for line in text("docs/sources.md").splitlines() if line[:2] == "| ")
    for source in BUILT_IN:
        assert f"`{source}`" in rows, f"docs/sources.md has no row for {source}"
    probes = text("docs/verify.md").partition("## Which probe")[2].partition("\n## ")[0]
    for kind in built_in_probes.BUILT_IN:
        assert f"`{kind}`" in probes or kind == built_in_probes.NONE, kind


def test_the_json_page_has_every_key_and_the_codes_their_order() -> None:
    page = text("docs/json.md")
    for shape in (envelope.Envelope, envelope.ErrorEntry, envelope.ArtifactEntry, envelope.FileRow):
        for key in shape.__annotations__:
            assert f"`{key}`" in page, f"docs/json.md does not say what {key} is"
    ranks = ", ".join(map(str, PRECEDENCE[:6]))
    assert f"the first of {ranks} counts" in text("docs/exit-codes.md")


def test_the_comparison_shows_what_was_measured() -> None:
    found = json.loads(text("benchmarks/results/transfer.json"))
    assert measured.table(found) in text("docs/comparison.md")


# --- troubleshooting


def _template(message: str) -> re.Pattern[str] | None:
    """A pattern for a message as it is printed, None where too little of it is fixed."""
    parts = re.split(r"\{[^{}]*\}", message.replace("{{", "{").replace("}}", "}"))
    if sum(map(str.isalpha, "".join(parts))) < 7 or " " not in "".join(parts).strip():
        return None
    return re.compile(r"(?:^|: | )" + "(.*?)".join(map(re.escape, parts)) + "$")


def _of_probes() -> Iterator[str]:
    """What verify/ says: it has no catalog, as it runs in other interpreters."""
    for path in (ROOT / "verify/contract").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [p.value if isinstance(p, ast.Constant) else "{x}" for p in node.values]
                yield "".join(map(str, parts))


@lru_cache(maxsize=1)
def _templates() -> list[re.Pattern[str]]:
    said = [one for entry in catalog.said() for one in catalog.texts(entry.text)]
    return [pattern for one in [*said, *_of_probes()] if (pattern := _template(one))]


def test_the_messages_that_are_explained_exist() -> None:
    headings = [words for level, words in markdown.headings(text("docs/troubleshooting.md"))
                if level == 3 and words.startswith("`")]  # fmt: skip
    assert len(headings) >= 40
    for heading in headings:
        shown = heading.strip("`")
        assert any(pattern.search(shown) for pattern in _templates()), f"nothing says {shown!r}"


def test_a_message_that_does_not_exist_is_seen() -> None:
    for shown in ("the frobnicator has no artifacts", "sha256 is fine", "gated"):
        assert not any(pattern.search(shown) for pattern in _templates()), shown


# --- words


@pytest.mark.parametrize("name", PLAIN)
def test_sentences_are_short_enough_to_read_once(name: str) -> None:
    long = [one for one in markdown.sentences(text(f"docs/{name}.md")) if len(one.split()) > 30]
    assert long == []


def test_the_others_get_no_longer() -> None:
    """Sentences of more than 30 words in all pages; bring the number down where you write."""
    found = {
        page: sum(len(one.split()) > 30 for one in markdown.sentences(text(page)))
        for page in PAGES
        if not navigation.is_translated(page) and page != "CHANGELOG.md"
    }
    assert sum(found.values()) <= MOST_LONG, found


MOST_LONG = 180

# One name for one thing.
OTHER_NAMES = {
    r"\block ?file\b(?!s)": "fetch.lock, the lock",
    r"\bcheck ?sum of\b": "digest",
    r"\bsub-?command\b": "command",
    r"\bdirectory tree\b": "tree",
    r"\bconfig file\b": "settings, fetch.yaml",
    r"\bmodel hub\b": "the Hub",
    r"\blicense(?!s?[`:\"]|\.md)\b(?=[^`|]*$)": "licence (the manifest's key is `license`)",
    r"\bHuggingFace\b|\bHuggingface\b": "Hugging Face",
    r"\bGithub\b": "GitHub",
}


@pytest.mark.parametrize("name", PLAIN)
def test_one_name_for_one_thing(name: str) -> None:
    plain = re.sub(r"`[^`]*`", "", markdown.prose(text(f"docs/{name}.md")))
    for line in plain.splitlines():
        for pattern, instead in OTHER_NAMES.items():
            assert not re.search(pattern, line), f"{name}: {line!r}: say {instead}"


def test_the_helpers_see_what_they_are_for() -> None:
    page = (
        "# A `b` c\n\n[x](y.md#z) `[no](link)`\n\n```sh\n[no](link)\n# no heading\n```\n## A b c\n"
    )
    assert markdown.links(page) == ["y.md#z"]
    assert markdown.anchors(page) == {"a-b-c", "a-b-c-1"}
    assert [fence.body for fence in markdown.fences(page)] == ["[no](link)\n# no heading\n"]
    assert markdown.relinked(page, str.upper).count("(Y.MD#Z)") == 1
    told = list(markdown.sentences("One two. Three `x. y` four\nfive.\n\n- six\n- seven.\n"))
    assert told == ["One two.", "Three code four five.", "six", "seven."]
