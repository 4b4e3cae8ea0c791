"""What `fetch verify` says is wrong: the hint, followed, mends it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.e2e.test_golden import declare, project, write
from tests.hints.desk import Desk, about

__all__ = ["project"]


@about(
    "if the change is meant, `{command}`",
    "the weights are other ones under the same name",
    "`{command} --yes` replaces",
    "not stored yet, so not compared",
    "`{command}` stores it",
    "mend it, or remove it and run `{command}`",
)
def test_stored_answers(desk: Desk, project: Path) -> None:
    golden = project / "fetch.golden.json"
    write(project, 1.0)
    desk.fails("verify", "one")
    desk.follow("the weights are other ones under the same name", 0)
    desk.follow("the weights are other ones under the same name", 1, more=["--yes"])
    desk.fetch("verify", "one")
    desk.fetch("check", "--deep")
    write(project, 2.0)
    desk.fails("verify", "one", "--update-golden")
    desk.follow("`{command} --yes` replaces")
    desk.fetch("verify", "one")
    declare(project, probe="{type: misbehave, do: answers, values: [1.0]}")
    desk.fails("verify", "one")
    desk.follow("if the change is meant, `{command}`", more=["--yes"])
    golden.unlink()
    desk.fails("verify", "one", "--require-golden")
    desk.follow("`{command}` stores it")
    desk.fetch("verify", "one", "--require-golden")
    write(project, 2.0, more="x")
    desk.fetch("verify", "one")
    desk.follow("not stored yet, so not compared", more=["--yes"])
    golden.write_text("{")
    desk.fails("verify", "one")
    golden.unlink()
    desk.follow("mend it, or remove it and run `{command}`")
    desk.fetch("verify", "one", "--require-golden")


@about(
    "run `{command}` first",
    "`{command}` restores the locked files",
)
@pytest.mark.parametrize("place", ["own", "into", "optional"])
def test_what_is_not_there_to_be_proven(
    desk: Desk, tmp_path: Path, cli: Cli, plugins: None, place: str
) -> None:
    (tmp_path / "files/one").mkdir(parents=True)
    (tmp_path / "files/one/w.json").write_text(
        json.dumps({"dtype": "float32", "values": {"logits": [1.0]}, "facts": {}})
    )
    declare(tmp_path)
    manifest = tmp_path / "manifests/p.yaml"
    layout = tmp_path / "layouts/p.yaml"
    layout.write_text(layout.read_text().replace("writable: [m/]\n", ""))
    if place == "optional":
        manifest.write_text(manifest.read_text() + "    optional: true\n")
    into = ["--into", "other tree"] if place == "into" else []
    desk.fails("verify", "one", *into)
    desk.follow("run `{command}` first")
    desk.fetch("verify", "one", *into)
    target = tmp_path / (into or ["", "."])[1] / "m/one/w.json"
    text = target.read_text()
    target.unlink()
    target.write_text(text + " ")
    desk.fails("verify", "one", *into)
    desk.follow("`{command}` restores the locked files", 0)
    desk.follow("`{command}` restores the locked files", 1)
    desk.fetch("verify", "one", *into)
    desk.fetch("check", *into)


@about(
    "run `{command}` first, or name the artifacts that must pass",
    "run `{command}` first, or name what is to be proven",
    "--require-all makes them failures",
)
def test_nothing_to_prove(desk: Desk, tmp_path: Path, cli: Cli, plugins: None) -> None:
    (tmp_path / "files/one").mkdir(parents=True)
    (tmp_path / "files/one/w.json").write_text("{}")
    declare(tmp_path, probe="")
    manifest = tmp_path / "manifests/p.yaml"
    manifest.write_text(manifest.read_text() + "    optional: true\n")
    desk.fetch("verify")
    desk.follow("run `{command}` first, or name what is to be proven")
    desk.fails("verify", "--require-all")
    desk.follow("run `{command}` first, or name the artifacts that must pass")
    manifest.write_text(manifest.read_text().replace("    optional: true\n", ""))
    desk.fetch("all")
    desk.fetch("verify")
    desk.again("--require-all makes them failures", "--require-all", code=8)
