"""Variables that nothing replaces: told of with their place, and never a folder's name."""

from __future__ import annotations

from pathlib import Path

import pytest

from fetcher.config.named_roots import ROOTS
from fetcher.fs.globs import compile_glob
from fetcher.fs.placeholders import Where, advice, complaint, found_in
from fetcher.project import layout, manifest
from fetcher.yamldoc.nodes import Document, parse
from tests.conftest import Cli, write_project

VARIABLES = (
    "${DIR}/x", "x/${DIR:-models}/y", "$DIR/x", "$dir/x", "a/$DIR", "a-$VERSION.bin", "$(pwd)/x",
    "`pwd`/x", "{{ dir }}/x", "{{dir}}.bin", "%DIR%/x", "x/%APPDATA%", "~/x", "~", "~alice/x",
    "$env:HOME/x", "<your-folder>/x", "@PREFIX@/x", "{% raw %}/x", "${DIR",
)  # fmt: skip
NAMES = (
    "Outer$Inner.class", "a~1", "~lock.bin", "100%", "100%_a", "%E3%83%A2.bin", "%E3%83/x", "a$",
    "a<b", "me@host", "$1.bin", "x.{a,b}.bin", "{0..4}.bin",
    "a{,b}", "~.x", "5%-off%", "f(x).bin", "@v1",
)  # fmt: skip


@pytest.mark.parametrize("text", VARIABLES)
@pytest.mark.parametrize("where", [Where.TREE, Where.FILE])
def test_what_is_a_variable(text: str, where: Where) -> None:
    assert found_in(text, where)


@pytest.mark.parametrize("text", NAMES)
@pytest.mark.parametrize("where", Where)
def test_what_is_a_name(text: str, where: Where) -> None:
    assert not found_in(text, where)


@pytest.mark.parametrize(
    "url",
    [
        "https://h/$web/~user/a.bin", "https://h/%E3%83%A2%20a", "https://h/a?$filter=x&b=%7B",
        "https://h/{a}/b", "https://h/a%AB%20b", "https://h/@me/x", "https://h/%ea%b0%80/%BAfoo%20",
    ],
)  # fmt: skip
def test_what_addresses_may_have(url: str) -> None:
    assert not found_in(url, Where.ADDRESS)


def told(document: Document) -> list[str]:
    return [f"{p.line}:{p.column}: {p.message}" for p in document.problems]


def manifest_with(fields: str) -> list[str]:
    document = parse(f"manifest: m\nartifacts:\n  a:\n{fields}".encode(), "m.yaml")
    manifest.decode(document)
    return told(document)


@pytest.mark.parametrize(
    ("fields", "place", "what"),
    [
        ("    source: 'https://h/${V}/a.bin'\n", "4:13", "${V}"),
        ("    source: hf:o/${V}\n", "4:13", "${V}"),
        ("    source: 'https://h/%MODEL%/a.bin'\n", "4:13", "%MODEL%"),
        ("    source: hf:o/m@$REV\n", "4:13", "$REV"),
        ("    source: {type: url, url: 'https://h/{{ v }}/a'}\n", "4:30", "{{ v }}"),
        ("    source: {type: github, repo: o/m, release: '${TAG}'}\n", "4:48", "${TAG}"),
        ("    source: {type: local, path: '${DATA}/x'}\n", "4:33", "${DATA}"),
        ("    source: 'local:$DATA/x'\n", "4:13", "$DATA"),
        ("    source: hf:o/m\n    code: {type: github, repo: '${R}/x'}\n", "5:32", "${R}"),
        ("    source: hf:o/m\n    mirrors: ['https://${HOST}/a']\n", "5:15", "${HOST}"),
        ("    source: hf:o/m\n    files: [a, '${F}.bin']\n", "5:16", "${F}"),
        ("    source: hf:o/m\n    files: {'${F}': {size: 1}}\n", "5:13", "${F}"),
        ("    source: hf:o/m\n    exclude: '~/x'\n", "5:14", "~"),
        ("    source: hf:o/m\n    checksums: 'https://h/${V}.txt'\n", "5:16", "${V}"),
        ("    source: hf:o/m\n    checksums: '$V'\n", "5:16", "$V"),
        ("    source: hf:o/m\n    unpack: {members: '%V%/*'}\n", "5:23", "%V%"),
        ("    source: hf:o/m\n    unpack: {'${A}.zip': true}\n", "5:14", "${A}"),
        ("    source: hf:o/m\n    signature: {key: '${K}.pem'}\n", "5:22", "${K}"),
        ("    source: hf:o/m\n    signature: {key: k.pem, file: '$K'}\n", "5:35", "$K"),
    ],
)
def test_a_manifest_names_each_with_its_place(fields: str, place: str, what: str) -> None:
    found = manifest_with(fields)
    assert [text for text in found if text.startswith(f"{place}: ") and repr(what) in text], found


@pytest.mark.parametrize(
    ("text", "place", "what"),
    [
        ("root: '${MODELS}/x'\ntree: {a/: a}\n", "2:7", "${MODELS}"),
        ("tree:\n  $MODELS/a/: a\n", "3:3", "$MODELS"),
        ("tree:\n  m:\n    '{model_dir}/': a\n", "4:5", "{model_dir}"),
        ("tree:\n  x.bin: a/${NAME}.bin\n", "3:10", "${NAME}"),
        ("tree:\n  x/: [a, 'b/%V%']\n", "3:11", "%V%"),
        ("tree: {x.json: a/x.json}\nedits: {'${X}.json': {a: 1}}\n", "3:9", "${X}"),
        ("tree: {x.bin: a/x}\nwritable: ['$X/*']\n", "3:12", "$X"),
    ],
)
def test_a_layout_names_each_with_its_place(text: str, place: str, what: str) -> None:
    document = parse(f"layout: l\n{text}".encode(), "l.yaml")
    layout.decode(document)
    assert [t for t in told(document) if t.startswith(f"{place}: ") and repr(what) in t], told(
        document
    )


def test_hints_lead_to_what_a_person_sets_outside(cli: Cli, tmp_path: Path) -> None:
    write_project(
        tmp_path, "p", "artifacts:\n  a: {source: 'local:s'}\n", "tree:\n  ${MODELS}/a/: a\n"
    )
    (tmp_path / "s").mkdir()
    (tmp_path / "s/x.bin").write_bytes(b"x")
    result = cli("all")
    assert result.code == 2 and '--into "$MODELS"' in result.err
    assert not [path for path in tmp_path.rglob("*") if "$" in path.name]


def test_into_takes_the_person_s_variables_and_no_one_else_s(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_project(tmp_path, "p", "artifacts:\n  a: {source: 'local:s'}\n", "tree:\n  m/: a\n")
    (tmp_path / "s").mkdir()
    (tmp_path / "s/x.bin").write_bytes(b"x")
    monkeypatch.setenv("MODELS", str(tmp_path / "out"))
    assert cli("all", "--into", "${MODELS}/deep").code == 0
    assert (tmp_path / "out/deep/m/x.bin").is_file()
    assert "complete" in cli("status", "--into", "$MODELS/deep").out
    (tmp_path / ".env").write_text("THEIRS=elsewhere\n")
    refused = cli("all", "--into", "$THEIRS/x")
    assert refused.code == 2 and "THEIRS" in refused.err
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cli("all", "--into=~/m").code == 0
    assert (tmp_path / "home/m/m/x.bin").is_file()
    assert not [path for path in tmp_path.rglob("*") if path.name[0] in "$~"]


@pytest.mark.parametrize(
    "name",
    ["$AAPL.csv", "data/$TSLA/x.csv", "US$EUR.csv", "50%off%sale.txt", "<s>.txt", "@TEAM@.txt",
     "`tick`.txt"],
)  # fmt: skip
def test_what_is_really_called_so_is_found_by_the_glob_of_the_hint(name: str) -> None:
    hint = str(advice(name, Where.FILE))
    glob = next(part for part in hint.split("'") if "?" in part)
    assert glob in hint and complaint(glob, Where.FILE) is None
    assert compile_glob(glob).matches(name)


@pytest.mark.parametrize("text", ["{torch_hub}/checkpoints", "$TORCH_HUB/x", "${HUB_CACHE}/models"])
def test_a_named_root_in_a_path_is_led_to_its_own_key(text: str) -> None:
    assert ROOTS, "they make themselves known"
    assert "beside `tree:`" in str(advice(text, Where.TREE))
    assert "--into" not in str(advice(text, Where.TREE))
