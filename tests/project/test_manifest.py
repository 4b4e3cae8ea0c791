"""Manifests: what is read, and one message with its exact place for each mistake."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetcher import sources
from fetcher.project.manifest import Manifest, decode
from fetcher.sources import SourceType
from fetcher.sources.base import FileEntry, Source
from fetcher.sources.genforce import GenForce
from fetcher.sources.github import GitHub
from fetcher.sources.huggingface import HuggingFace
from fetcher.sources.local import Local
from fetcher.sources.pypi import PyPI
from fetcher.sources.url import Url
from fetcher.yamldoc.nodes import Document, parse
from fetcher.yamldoc.schema import INVALID


def load(text: str) -> tuple[Manifest, Document]:
    document = parse(text.encode(), "manifests/m.yaml")
    manifest = decode(document)
    assert manifest is not None
    return manifest, document


def one(fields: str) -> list[str]:
    """The problems of a manifest with one artifact, without the file's name."""
    body = "".join(f"    {line}\n" for line in fields.splitlines())
    _, document = load(f"manifest: m\nartifacts:\n  a:\n{body}")
    return [f"{p.line}:{p.column}: {p.message}" for p in document.problems]


def source(text: str, mirror: bool = False) -> tuple[Any, list[str]]:
    document = parse(text.encode(), "f")
    assert document.root is not None
    value = SourceType(mirror).decode(document.root, document)
    return value, [f"{p}{' | ' + p.hint if p.hint else ''}" for p in document.problems]


FULL = """\
manifest: 2025_04
title: "프로젝트: 오로라"
description: |
  Two
  lines
layout: other
artifacts:
  007:
    name: 모델 하나
    kind: model
    source: hf:owner/name@1.0:가중치/최종
    mirrors: [pypi:pkg==1.0:pkg/data, {type: mirror, location: http://host/store}]
    files:
      모델.bin: {size: 3, sha256: aa11111111111111111111111111111111111111111111111111111111111111}
      b.bin: {size: 0}
      c.bin:
    exclude: "*.md"
    count: 3
    optional: true
    groups: runtime
    writable: true
    probe: {type: state-dict, key: a.b, tensors: 12, strict: no}
    task: text-generation
    io: {size: fixed, resolution: [256, 256], input_range: [-1, 1.0]}
    parameters: 1300000000
    min_vram: 8 GiB
    metrics: [psnr, bpp]
    attributes: {codebook size: 16384, deep: {a: [1, ~]}}
    params: {default_steps: 4, more: [1, 2]}
  no: gh:o/r
"""


def test_everything_is_read() -> None:
    manifest, document = load(FULL.replace("  no: gh:o/r\n", ""))
    assert document.problems == []
    assert (manifest.name, manifest.title, manifest.layout) == (
        "2025_04",
        "프로젝트: 오로라",
        "other",
    )
    assert (manifest.name_place, manifest.layout_place) == ((1, 11), (6, 9))
    assert list(manifest.artifacts) == ["007"]


def test_an_artifact_is_a_mapping() -> None:
    _, document = load("manifest: m\nartifacts:\n  no: gh:o/r\n")
    assert [str(p) for p in document.problems] == [
        "manifests/m.yaml:3:7: found 'gh:o/r', expected a mapping"
    ]


def test_fields_of_an_artifact() -> None:
    manifest, document = load(FULL.replace("  no: gh:o/r\n", "  no: {source: gh:o/r}\n"))
    assert document.problems == []
    assert list(manifest.artifacts) == ["007", "no"]
    artifact = manifest.artifacts["007"]
    assert artifact.source == HuggingFace("owner/name", "model", "1.0", "가중치/최종")
    assert artifact.mirrors[0] == PyPI("pkg==1.0", "pkg/data")
    assert artifact.request.files == ("모델.bin", "b.bin", "c.bin")
    assert artifact.request.known is not None
    assert artifact.request.known["모델.bin"] == FileEntry("모델.bin", 3, "aa" + "1" * 62)
    assert artifact.request.known["c.bin"] == FileEntry("c.bin")
    assert artifact.request.exclude == ("*.md",)
    assert artifact.literal_names == ["b.bin", "c.bin", "모델.bin"]
    assert not artifact.fully_known
    assert (artifact.count, artifact.optional, artifact.writable) == (3, True, True)
    assert artifact.groups == ("runtime",)
    assert artifact.probe == {"type": "state-dict", "key": "a.b", "tensors": 12, "strict": "no"}
    assert artifact.name == "모델 하나"
    assert artifact.info["io"]["input_range"] == (-1, 1.0)
    assert artifact.info["parameters"] == "1300000000"
    assert artifact.info["attributes"] == {"codebook_size": 16384, "deep": {"a": [1, None]}}
    assert manifest.artifacts["no"].selection == ""


def test_the_selection_tells_a_changed_list_of_files() -> None:
    def selection(fields: str) -> str:
        manifest, document = load(f"manifest: m\nartifacts:\n  a: {{source: hf:o/n, {fields}}}\n")
        assert document.problems == []
        return manifest.artifacts["a"].selection

    variants = ["files: [a]", "files: [b]", "exclude: [a]", "files: {a: {size: 1}}", "count: 1"]
    assert len({selection(variant) for variant in variants}) == len(variants)
    assert selection("files: [a], count: 1") == selection("files: [a], optional: true")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("source: hf:o/n\ncuont: 3", "5:5: an artifact has no key 'cuont'"),
        ("source: hf:o/n\ncount: three", "5:12: found 'three', expected a whole number"),
        ("source: hf:o/n\ncount: 0", "5:12: found '0', expected a whole number of at least 1"),
        ("source: hf:o/n\ncount: 010", "5:12: found '010'"),
        ("source: hf:o/n\noptional: yes", "5:15: found 'yes', expected true or false"),
        ("source: hf:o/n\nwritable: 'true'", "5:15: found 'true', expected true or false"),
        ("source: hf:o/n\nmin_vram: 12:30", "5:15: found '12:30', expected memory such as 8G"),
        ("source: hf:o/n\nmax_batch_size: 2024-01-01", "5:21: found '2024-01-01'"),
        ("source: hf:o/n\nkind: modle", "5:11: found 'modle', expected one of model, dataset"),
        ("source: hf:o/n\nfiles: []", "5:12: found an empty list, expected a list of names"),
        ("source: hf:o/n\nfiles: a.bin", "5:12: found 'a.bin', expected a list of names"),
        ("source: hf:o/n\nfiles: [a, /b]", "5:16: '/b' is absolute"),
        ("source: hf:o/n\nfiles: [../a]", "5:13: '../a' leads out"),
        ("source: hf:o/n\nfiles: ['a\\b']", "5:13: 'a\\\\b' has a backslash"),
        ("source: hf:o/n\nfiles: ['../*']", "5:13: '../*' leads out of the source"),
        ("source: hf:o/n\nfiles: ['C:/x']", "5:13: 'C:/x' names a drive"),
        ("source: hf:o/n\nfiles: [lpt1.bin]", "5:13: 'lpt1.bin' is a device name"),
        (
            "source: hf:o/n\nfiles: [.git/HEAD]",
            "5:13: '.git/HEAD' has '.git', which belongs to git",
        ),
        ("source: hf:o/n\nfiles: ['[z-a]']", "5:13: '[z-a]' '[z-a]' is no valid glob"),
        ("source: hf:o/n\nfiles: ['m_{4..0}']", "5:13: 'm_{4..0}' range {4..0} runs backwards"),
        ("source: hf:o/n\nfiles: ['m_{..4']\ncount: x", "6:12: found 'x'"),
        ("source: hf:o/n\nfiles: [a, b, a]", "5:19: 'a' is listed twice, first in line 5"),
        ("source: hf:o/n\nfiles:\n  '*.pt': {size: 1}", "6:7: '*.pt' stands for several files"),
        ("source: hf:o/n\nfiles:\n  'm{0..1}':", "6:7: 'm{0..1}' stands for several files"),
        ("source: hf:o/n\nfiles: {a: {size: -1}}", "5:23: found '-1'"),
        ("source: hf:o/n\nfiles: {a: {size: 1.5 GB}}", "5:23: found '1.5 GB'"),
        ("source: hf:o/n\nfiles: {a: {sha256: ABC}}", "5:25: found 'ABC', expected 64 lower"),
        ("source: hf:o/n\nfiles: {a: {md5: abc}}", "5:22: found 'abc', expected 32 lower-case hex"),
        ("source: hf:o/n\nfiles: {a: {md4: abc}}", "5:17: a file has no key 'md4'"),
        ("source: hf:o/n\nfiles: {a: 5}", "5:16: found '5', expected a mapping with size"),
        ("source: hf:o/n\nprobe: {}", "5:12: a probe needs the key 'type'"),
        ("source: hf:o/n\ngroups: [a b]", "5:14: found 'a b', expected an id"),
        ("source: hf:o/n\nio: {resolution: [256]}", "5:22: found a list of 1 items"),
        ("count: 3", "4:5: an artifact needs the key 'source'"),
        ("surce: hf:o/n", "4:5: an artifact has no key 'surce'"),
        ("source:", "4:12: found nothing, expected a source such as hf:owner/name"),
        ("source: hf", "4:13: found 'hf', expected a source such as"),
        ("source: 'hf:'", "4:13: found 'hf:', expected a source such as"),
        ("source: hf:a b", "4:13: 'hf:a b': expected hf:owner/name"),
        ("source: hf:o/n@main:../x", "4:13: '../x' leads out"),
        ("source: hf:o/n@main:/x", "4:13: '/x' is absolute"),
        (
            "source: {type: hugginface, repo: o/n}",
            "4:20: no source type 'hugginface', expected one",
        ),
        ("source: {repo: o/n}", "4:13: a source needs the key 'type'"),
        ("source: {type: , repo: o/n}", "4:20: a source needs the key 'type', found nothing"),
        ("source: {type: [hf]}", "4:20: a source needs the key 'type', found a list"),
        ("source: {type: huggingface}", "4:13: a source of type huggingface needs the key 'repo'"),
        ("source: {type: url, url: 'ftp:x'}", "4:30: 'ftp:x' is no http, https or ftp URL"),
        ("source: pypi:a==1", "4:13: 'pypi' can only stand under 'mirrors'"),
        ("source: {type: github, repo: o/r, ref: a, release: b}", "4:13: 'release' and 'ref' excl"),
        ("source: https://user:secret@host/x", "4:13: 'https://***@host/x': holds a login"),
        ("source: genforce:stylegan_cats", "4:13: 'genforce:stylegan_cats': "),
    ],
)
def test_one_mistake_is_one_message(fields: str, message: str) -> None:
    [found] = one(fields)
    assert found.startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "1:1: found an empty list, expected a manifest (a mapping)"),
        ("x", "1:1: found 'x', expected a manifest (a mapping)"),
    ],
)
def test_what_is_no_manifest(text: str, message: str) -> None:
    document = parse(text.encode(), "f")
    assert decode(document) is None
    assert [str(p) for p in document.problems] == [f"f:{message}"]


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("artifacts: {a: {source: hf:o/n}}", ["1:1: a manifest needs the key 'manifest'"]),
        ("manifest: m", ["1:1: a manifest needs the key 'artifacts'"]),
        ("manifest: m\nartifact: {}", ["2:1: a manifest has no key 'artifact'"]),
        ("manifest: m\nartifacts: {}", ["2:12: found an empty mapping, expected a mapping from"]),
        ("manifest: m\nartifacts:\n", ["2:11: found nothing, expected a mapping from artifact"]),
        ("manifest: a b\nartifacts: {a: {source: hf:o/n}}", ["1:11: found 'a b', expected an id"]),
        ("manifest: m\nartifacts: {a b: {source: hf:o/n}}", ["2:13: found 'a b', expected an id"]),
        (
            "manifest: m\nartifacts: {a: {source: hf:o/n}, A: {source: hf:o/n}}",
            ["2:34: artifact 'A' differs from 'a' only by case"],
        ),
        (
            "manifest: m\nartifacts:\n  a: {source: hf:o/n}\n  a: {source: hf:o/m}",
            ["4:3: duplicate key 'a': it already stands in line 3"],
        ),
    ],
)
def test_mistakes_of_the_whole_manifest(text: str, messages: list[str]) -> None:
    _, document = load(text)
    found = [f"{p.line}:{p.column}: {p.message}" for p in document.problems]
    assert len(found) == len(messages)
    assert all(have.startswith(start) for have, start in zip(found, messages, strict=True))


@pytest.mark.parametrize(
    ("short", "value"),
    [
        ("hf:owner/name", HuggingFace("owner/name")),
        ("hf:gpt2", HuggingFace("gpt2")),
        ("huggingface:o/n@v1:a/b", HuggingFace("o/n", "model", "v1", "a/b")),
        ("hf:datasets/o/n", HuggingFace("o/n", "dataset")),
        ("hf:spaces/o/n@refs/pr/1", HuggingFace("o/n", "space", "refs/pr/1")),
        ("hf:o/n@main:한글/경로", HuggingFace("o/n", "model", "main", "한글/경로")),
        ("gh:o/r", GitHub("o/r")),
        ("github:o/r@v1.0:data/x", GitHub("o/r", "v1.0", "data/x")),
        ("genforce:stylegan_ffhq256", GenForce("stylegan_ffhq256")),
        ("https://host/a.bin?x=1", Url("https://host/a.bin?x=1")),
        ("url:https://host/a.bin", Url("https://host/a.bin")),
        ("ftp://host/a.bin", Url("ftp://host/a.bin")),
        ("local:data/모델", Local("data/모델")),
        ("file:../shared", Local("../shared")),
    ],
)
def test_short_forms_and_their_way_back(short: str, value: Source) -> None:
    assert source(f'"{short}"') == (value, [])
    if not isinstance(value, GenForce) or value.describe().startswith("genforce:"):
        assert source(f'"{value.describe()}"') == (value, [])


# Names that the Hub has: what it refuses is refused in other words in each form.
NAMES = st.from_regex(r"n[A-Za-z0-9_.-]{0,8}[a-z0-9]", fullmatch=True).filter(
    lambda name: "--" not in name and ".." not in name
)


@given(NAMES, NAMES, NAMES, st.sampled_from(["model", "dataset", "space"]))
def test_short_and_long_form_agree(owner: str, name: str, revision: str, kind: str) -> None:
    value = HuggingFace(f"{owner}/{name}", kind, revision, name)
    fields = f"repo: '{value.repo}', repo_type: {kind}, revision: '{revision}', path: '{name}'"
    assert source(f"'{value.describe()}'") == source(f"{{type: huggingface, {fields}}}")


@given(st.text(max_size=30))
def test_any_text_as_a_source_is_one_or_has_a_problem(text: str) -> None:
    document = Document("f")
    node = parse(b"'x'", "f").root
    assert node is not None
    node.text = text
    value = SourceType(mirror=True).decode(node, document)
    assert (value is INVALID) == bool(document.problems)


def test_plug_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    class Point:
        def load(self) -> Any:
            raise ImportError("no module named torch")

    class Good:
        def load(self) -> Any:
            return type("Mine", (Local,), {"type": "mine"})

    monkeypatch.setattr(sources, "_entry_points", lambda: {"bad": Point(), "mine": Good()})
    assert source("{type: mine, path: x}")[0].path == "x"
    assert source("mine:x")[0].path == "x"
    assert source("bad:x")[1] == [
        "f:1:1: the plug-in of source type 'bad' is broken: no module named torch"
    ]
    assert "bad, mine" in source("zzz:x")[1][0]
