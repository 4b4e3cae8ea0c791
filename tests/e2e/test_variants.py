"""Variants: artifacts that take turns on one target; exactly one choice of each is fetched."""

from __future__ import annotations

import json
import os
from hashlib import sha256
from pathlib import Path

import pytest

import fetcher
from fetcher.hardware import gpu
from fetcher.hardware.gpu import Gpu
from fetcher.project.lockfile import read
from fetcher.project.variants import Variant, take_turns, that_fits
from tests.conftest import Cli, write_project
from tests.e2e.conftest import files_below

MANIFEST = """\
variants:
  precision:
    default: fp16
    choices: {fp32: [net-32, extra], fp16: net-16, int8: net-8}
artifacts:
  net-32: {source: 'local:s/32', min_vram: 24G}
  net-16: {source: 'local:s/16', min_vram: 8G}
  net-8: {source: 'local:s/8', min_vram: 4G}
  extra: {source: 'local:s/extra'}
  always: {source: 'local:s/always'}
"""
LAYOUT = "tree:\n  m/: [net-32, net-16, net-8]\n  extra/: extra\n  a/: always\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write_project(tmp_path, "p", MANIFEST, LAYOUT)
    for name in ("32", "16", "8", "extra", "always"):
        folder = tmp_path / "s" / name
        folder.mkdir(parents=True)
        (folder / "model.bin").write_text(name)
        (folder / f"only-{name}.json").write_text("{}")
    return tmp_path


def there(root: Path) -> dict[str, str]:
    found = {name: data.decode() for name, data in files_below(root).items()}
    kept = ("m/", "extra/", "a/")
    return {name: text for name, text in found.items() if name.startswith(kept)}


def of(name: str, *more: str) -> dict[str, str]:
    found = {f"m/only-{name}.json": "{}", "m/model.bin": name}
    for other in ("always", *more):
        folder = {"always": "a"}.get(other, other)
        found |= {f"{folder}/only-{other}.json": "{}", f"{folder}/model.bin": other}
    return found


def test_the_default_is_fetched_and_the_lock_has_all(cli: Cli, project: Path) -> None:
    result = cli("all")
    assert result.code == 0 and "precision: fp16 (by default; also: fp32, int8)" in result.err
    assert there(project) == of("16")
    assert cli("plan", "--json").json["variants"] == [
        {"manifest": "p", "variant": "precision", "choice": "fp16", "why": "it stands in the tree"}
    ]
    locked = {name for _, name in read(project).artifacts}
    assert locked == {"net-32", "net-16", "net-8", "extra", "always"}
    assert cli("check", "--deep").code == 0
    assert {row["id"] for row in cli("status", "--json").json["artifacts"]} == {"net-16", "always"}
    before = (project / "fetch.lock").read_bytes()
    assert cli("lock").code == 0 and (project / "fetch.lock").read_bytes() == before


def test_another_choice_replaces_what_is_unchanged(cli: Cli, project: Path) -> None:
    assert cli("all").code == 0
    assert cli("all", "--variant", "precision=fp32").code == 0
    assert there(project) == of("32", "extra")
    # What stands in the tree was chosen: nobody need say it again.
    for command in (["all"], ["check", "--strict"], ["plan"], ["tree"]):
        result = cli(*command)
        assert result.code == 0, result.err
    assert "fp32 (it stands in the tree" in cli("plan").err
    assert there(project) == of("32", "extra")
    assert cli("all", "--variant", "precision=int8").code == 0
    assert there(project) == of("8") and not (project / "extra").exists()


def test_what_was_changed_stays_and_is_told_of(cli: Cli, project: Path) -> None:
    assert cli("all").code == 0
    for name in ("model.bin", "only-16.json"):
        path = project / "m" / name
        path.unlink()
        path.write_text("mine")
    result = cli("all", "--variant", "precision=int8")
    assert result.code == 4 and "m/model.bin was changed" in result.err
    assert (project / "m/only-16.json").read_text() == "mine"
    result = cli("all", "--variant", "precision=int8", "--overwrite")
    assert result.code == 0 and "m/only-16.json" in result.out and "fetch prune" in result.out
    assert (project / "m/only-16.json").read_text() == "mine"
    assert (project / "m/model.bin").read_text() == "8"


def test_a_writable_file_of_another_variant_is_no_copy_of_this_one(cli: Cli, project: Path) -> None:
    path = project / "layouts/p.yaml"
    path.write_text(path.read_text() + "writable: [m/model.bin]\n")
    assert cli("all").code == 0
    (project / "m/model.bin").write_text("trained")
    assert cli("all").code == 0
    assert cli("all", "--variant", "precision=int8").code == 4
    assert (project / "m/model.bin").read_text() == "trained"


@pytest.mark.parametrize("way", ["environment", "file", "dotenv", "person"])
def test_a_setting_chooses(
    cli: Cli, project: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "environment":
        monkeypatch.setenv("FETCH_VARIANTS", "precision=int8 other=x")
    elif way == "file":
        (project / "fetch.yaml").write_text("variants: [precision=int8]\n")
    elif way == "dotenv":
        (project / ".env").write_text("FETCH_VARIANTS=precision=int8\n")
    else:
        own = project / "own.yaml"
        own.write_text("variants: precision=int8\n")
        monkeypatch.setenv("FETCH_CONFIG", str(own))
    assert cli("all").code == 0 and there(project) == of("8")
    assert cli("all", "--variant", "precision=fp16").code == 0 and there(project) == of("16")
    assert cli("all").code == 0 and there(project) == of("8"), "the setting goes on"


def test_the_gpu_s_memory_chooses_where_it_is_asked(
    cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cards = [Gpu("T4", 15 << 30, "nvidia-smi")]
    monkeypatch.setattr(gpu, "detect", lambda *_, **__: cards)
    assert cli("all", "--variant", "precision=auto").code == 0 and there(project) == of("16")
    cards[:] = [Gpu("A100", 80 << 30, "nvidia-smi")]
    result = cli("all", "--variant", "precision=auto")
    assert "fp32 (by the GPU's memory" in result.err and there(project) == of("32", "extra")
    cards.clear()
    assert cli("all", "--variant", "precision=auto").code == 0 and there(project) == of("16")


def test_a_manifest_may_leave_it_to_the_machine(
    cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "detect", lambda *_, **__: [Gpu("small", 5 << 30, "nvidia-smi")])
    path = project / "manifests/p.yaml"
    path.write_text(path.read_text().replace("default: fp16", "default: fp16\n    auto: true"))
    assert cli("all").code == 0 and there(project) == of("8")


def test_naming_one_chooses_it(cli: Cli, project: Path) -> None:
    assert cli("all", "net-8").code == 0
    assert (project / "m/model.bin").read_text() == "8"
    assert cli("all", "--only", "net-32").code == 0
    assert (project / "m/model.bin").read_text() == "32"


def test_python_chooses_too(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    assert fetcher.fetch(variants={"precision": "int8"}, quiet=True).ok
    assert there(project) == of("8")


def test_gc_lets_go_of_what_is_not_chosen(
    cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fetcher.store.gc.YOUNG_SECONDS", -60)
    folder = Path(os.environ["FETCH_STORE"], "blobs/sha256")
    old, new = (folder / sha256(name.encode()).hexdigest() for name in ("32", "16"))
    for choice in ("fp32", "fp16"):
        assert cli("all", "--variant", f"precision={choice}").code == 0
    assert cli("gc").code == 0
    assert new.exists() and not old.exists()
    assert cli("all", "--variant", "precision=fp32").code == 0
    assert there(project) == of("32", "extra")


def test_a_bundle_has_what_is_chosen(cli: Cli, project: Path, tmp_path: Path) -> None:
    assert cli("all", "--variant", "precision=int8").code == 0
    assert cli("mirror", "export", "b").code == 0
    held = json.loads(cli("mirror", "check", "b", "--json").out)
    assert held["ok"]
    result = cli("all", "--variant", "precision=int8", "--from", "b", "--offline")
    assert result.code == 0


def test_one_target_of_one_file(cli: Cli, tmp_path: Path) -> None:
    write_project(
        tmp_path,
        "p",
        "variants: {v: {default: a, choices: {a: one, b: two}}}\n"
        "artifacts:\n  one: {source: 'local:1.bin'}\n  two: {source: 'local:2.bin'}\n",
        "tree:\n  m/model.bin: [one, two]\n",
    )
    for name in "12":
        (tmp_path / f"{name}.bin").write_text(name)
    assert cli("all").code == 0 and (tmp_path / "m/model.bin").read_text() == "1"
    assert cli("all", "--variant", "v=b").code == 0
    assert (tmp_path / "m/model.bin").read_text() == "2"


def test_to_may_name_one_target_for_both(cli: Cli, tmp_path: Path) -> None:
    write_project(
        tmp_path,
        "p",
        "variants: {v: {default: a, choices: {a: one, b: two}}}\n"
        "artifacts:\n  one: {source: 'local:1.bin', to: m/model.bin}\n"
        "  two: {source: 'local:2.bin', to: m/model.bin}\n",
        "tree: {}\n",
    )
    (tmp_path / "layouts/p.yaml").unlink()
    for name in "12":
        (tmp_path / f"{name}.bin").write_text(name)
    assert cli("all", "--variant", "v=b").code == 0
    assert (tmp_path / "m/model.bin").read_text() == "2"


@pytest.mark.parametrize(
    ("variants", "layout", "message"),
    [
        ("{v: {default: c, choices: {a: one, b: two}}}", "", "'c' is no choice of 'v'"),
        ("{v: {default: a, choices: {a: one}}}", "", "'v' has only one choice"),
        ("{v: {default: a, choices: {a: one, b: too}}}", "", "did you mean 'two'?"),
        ("{v: {choices: {a: one, b: two}}}", "", "a variant needs the key 'default'"),
        (
            "{v: {default: a, choices: {a: one, b: two}},"
            " w: {default: c, choices: {c: one, d: x}}}",
            "",
            "'one' already takes turns in 'v'",
        ),
        (
            "{v: {default: a, choices: {a: one, b: two}}}",
            "tree:\n  m/f: [one, x]\n  t/: two\n",
            "a list needs a folder",
        ),
        (
            "{v: {default: a, choices: {a: [one, two], b: x}}}",
            "tree:\n  m/: [one, two]\n  x/: x\n",
            "two files fall on 'm/f.bin'",
        ),
    ],
)
def test_mistakes(cli: Cli, tmp_path: Path, variants: str, layout: str, message: str) -> None:
    write_project(
        tmp_path,
        "p",
        f"variants: {variants}\nartifacts:\n"
        + "".join(f"  {n}: {{source: hf:o/{n}, files: [f.bin]}}\n" for n in ("one", "two", "x")),
        layout or "tree: {m/: [one, two], x/: x}\n",
    )
    result = cli("plan", "--offline")
    assert result.code == 2 and message in result.err, result.err


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("precision=fp8", "'precision' has no choice 'fp8'"),
        ("precison=fp16", "did you mean 'precision'?"),
        ("fp16", "a variant is NAME=CHOICE"),
    ],
)
def test_wrong_choices(cli: Cli, project: Path, flag: str, message: str) -> None:
    result = cli("plan", "--variant", flag)
    assert result.code == 2 and message in result.err


def test_what_takes_turns() -> None:
    variant = Variant("v", "a", {"a": ("x", "s"), "b": ("y", "s"), "c": ("z",)})
    assert take_turns([variant], "x", "y") and take_turns([variant], "s", "z")
    assert not take_turns([variant], "x", "s") and not take_turns([variant], "x", "x")
    assert not take_turns([variant], "x", "other") and not take_turns([], "x", "y")


@pytest.mark.parametrize(
    ("memory", "choice"), [(None, "b"), (3, "b"), (4, "c"), (8, "b"), (23, "b"), (24, "a")]
)
def test_what_fits(memory: int | None, choice: str) -> None:
    variant = Variant("v", "b", {"a": ("x",), "b": ("y",), "c": ("z",), "d": ("unknown",)})
    assert that_fits(variant, {"x": 24, "y": 8, "z": 4}.get, memory) == choice
