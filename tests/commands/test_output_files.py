"""A slip in the name of an output costs no file: what is there and is of another kind stays."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from fetcher.commands import cli as all_commands
from fetcher.commands.output_files import OutputFile
from tests.commands.walk import parameters
from tests.conftest import Cli, write_project

REPORTS = ("--junit", "--sarif", "--code-quality", "--summary", "--annotations")
WRITES = [
    *(("check", flag) for flag in REPORTS),
    ("check", "--licenses", "--junit"),
    ("sbom", "--output"),
    ("report", "--html"),
    ("verify", "--html"),
    ("mirror", "have", "-o"),
    ("all", "--json-events"),
]


@pytest.fixture
def placed(tmp_path: Path, cli: Cli) -> Path:
    """A project whose files are there, and a person's own beside them."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src/w.json").write_text('{"a": 1}\n')
    artifacts = "artifacts:\n  m:\n    source: {type: local, path: src}\n"
    write_project(tmp_path, "p", artifacts, "tree:\n  out/: m\n")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/config").write_text("[core]\n\tbare = false\n")
    (tmp_path / "README.md").write_text("# A project\n")
    (tmp_path / "list.json").write_text("[1, 2]\n")
    assert cli("all").code == 0
    return tmp_path


def test_no_other_file_is_replaced(placed: Path, cli: Cli) -> None:
    names = ["fetch.lock", "manifests/p.yaml", "layouts/p.yaml", "out/w.json", ".git/config"]
    names += ["README.md", "list.json"]
    (placed / "link.xml").symlink_to("README.md")
    before = {name: (placed / name).read_bytes() for name in names}
    for command in WRITES:
        for name in (*names, "link.xml"):
            found = cli(*command, name)
            assert found.code == 2, (command, name)
            assert f"{name}: a file of another kind is there" in found.err
            assert "hint: it would be lost" in found.err
        empty = cli(*command, "")
        assert empty.code == 2 and "names no file" in empty.err and "--" in empty.err, command
    assert {name: (placed / name).read_bytes() for name in names} == before
    assert cli("check").code == 0


def test_what_was_written_is_replaced(placed: Path, cli: Cli) -> None:
    """The same line in the next run, after a success or a failure, and into an empty file."""
    for word in ("placed", "gone"):
        for command in WRITES:
            path = Path("results") / f"{'-'.join(command)}.out"
            for attempt in range(2):
                found = cli(*command, path)
                assert found.code in {0, 4, 5, 8}, (command, word, attempt, found.err)
                assert (placed / path).is_file() and "another kind" not in found.err
            (placed / path).write_bytes(b"")
            assert "another kind" not in cli(*command, path).err
        (placed / "out/w.json").unlink(missing_ok=True)
    assert cli("check", "--junit", "/dev/null").code == 4


def test_every_option_that_writes_a_file_is_guarded() -> None:
    writing = [
        (name, parameter)
        for name, parameter in parameters(all_commands)
        if isinstance(parameter, click.Option)
        and parameter.metavar == "FILE"
        and str(parameter.help or "").startswith("Write")
    ]
    assert len(writing) > 45
    for name, parameter in writing:
        assert isinstance(parameter.type, OutputFile), (name, parameter.opts)


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (("check", "--junit"), "fetch check"),
        (("mirror", "export", "--since"), "fetch mirror export"),
        (("--nonsense",), "fetch"),
        (("nonsense", "--junit"), "fetch"),
        (("check", "--nonsense"), "fetch check"),
    ],
)
def test_the_help_of_what_was_typed(cli: Cli, words: tuple[str, ...], command: str) -> None:
    found = cli(*words)
    assert found.code == 2 and f"{command} --help" in found.err, found.err
