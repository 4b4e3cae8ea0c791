"""Lines for editors at the top of files that fetch begins, and the schemas that they lead to."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from fetcher.register.editor_schemas import with_schema
from tests.conftest import Cli, write_project
from tests.json_schemas import validate

DOCS = Path(__file__).parents[2] / "docs"


def test_every_file_that_fetch_begins_leads_to_its_schema(tmp_path: Path, cli: Cli) -> None:
    assert cli("init", "--from", "quickstart").code == 0
    script = "wget -O models/weights.bin https://example.org/model/weights.bin\n"
    (tmp_path / "get.sh").write_text(script, "utf-8")
    assert cli("import", "get.sh", "--name", "links", "--yes").code == 0
    again = cli("import", "get.sh", "--name", "links", "--yes")
    assert again.code == 0, again.err
    files = [*tmp_path.glob("manifests/*.yaml"), *tmp_path.glob("layouts/*.yaml")]
    assert len(files) == 4
    for path in [*files, tmp_path / "fetch.yaml"]:
        text = path.read_text("utf-8")
        (line,) = re.findall(r"^# yaml-language-server: \$schema=(.*)$", text, re.MULTILINE)
        assert re.findall(r"^# \$schema: (.*)$", text, re.MULTILINE) == [line]
        schema = json.loads((path.parent / line).read_text("utf-8"))
        validate(yaml.safe_load(text) or {}, schema)
    assert cli("plan", "quickstart").code in {0, 5}


@pytest.mark.parametrize(
    "text",
    [
        "# yaml-language-server: $schema=https://example.org/own.json\nmanifest: a\n",
        "# ours\n# $schema: own.json\nmanifest: a\n",
    ],
)
def test_what_a_person_says_stays(text: str) -> None:
    assert with_schema("manifests/a.yaml", text) == text
    assert with_schema("notes/a.yaml", "a: b\n") == "a: b\n"
    once = with_schema("layouts/a.yaml", "layout: a\n")
    assert with_schema("layouts/a.yaml", once) == once != "layout: a\n"


def test_files_that_are_there_are_not_given_lines(tmp_path: Path, cli: Cli) -> None:
    write_project(tmp_path, "p", "# mine\nartifacts:\n  a: {source: 'local:a'}\n", "tree: {a: a}\n")
    (tmp_path / "b").write_bytes(b"b")
    before = (tmp_path / "manifests/p.yaml").read_text("utf-8")
    cli("add", "local:b", "--manifest", "p", "--yes")
    after = (tmp_path / "manifests/p.yaml").read_text("utf-8")
    assert after.startswith(before) and "$schema" not in after


def test_a_fresh_clone_writes_them_at_once(tmp_path: Path, cli: Cli) -> None:
    result = cli("schema", "--install")
    assert result.code == 0
    for kind in ("manifest", "layout", "settings"):
        path = f".fetch/schemas/{kind}.schema.json"
        assert path in result.out.splitlines()
        assert (tmp_path / path).read_text("utf-8") == (DOCS / f"{kind}.schema.json").read_text(
            "utf-8"
        )
    assert (tmp_path / ".fetch/.gitignore").read_text("utf-8") == "*\n"
    for wrong in ([], ["manifest", "--install"]):
        assert cli("schema", *wrong).code == 2


def test_a_link_in_the_clone_is_not_followed(tmp_path: Path, cli: Cli) -> None:
    outside = tmp_path / "outside"
    project = tmp_path / "project"
    outside.mkdir()
    project.mkdir()
    (project / "fetch.yaml").write_text("", "utf-8")
    (project / ".fetch").symlink_to(outside)
    assert cli("init", str(project)).code == 0
    assert list(outside.iterdir()) == []
