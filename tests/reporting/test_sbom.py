"""Bills of materials, held against CycloneDX's own strict schema."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from packageurl import PackageURL

from fetcher.project.lockfile import Lock, LockedArtifact, dumps, locked
from fetcher.project.manifest import Artifact
from fetcher.project.project import Project
from fetcher.reporting import purl
from fetcher.reporting.sbom import Origin, document
from fetcher.reporting.sbom_components import Entry, licenses
from fetcher.sources.base import FileEntry, Source
from fetcher.sources.github import GitHub
from fetcher.sources.huggingface import HuggingFace
from fetcher.sources.url import Url
from tests.conftest import Cli, write_project

SHA = "a" * 64
COMMIT = "0123456789abcdef0123456789abcdef01234567"
Check = Callable[[str], None]
Json = dict[str, Any]


@pytest.fixture(scope="session")
def sound() -> Check:
    """Fails for a text that the strict schema of CycloneDX 1.6 refuses."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator
    from jsonschema import Draft7Validator

    validator = JsonStrictValidator(SchemaVersion.V1_6)
    # An address takes a tenth of a second to parse, and the same ones come again and again.
    formats = Draft7Validator.FORMAT_CHECKER.checkers
    for name in {"iri-reference", "iri"} & set(formats):
        is_one, raises = formats[name]
        formats[name] = cache(is_one), raises

    def check(text: str) -> None:
        wrong = validator.validate_str(text)
        assert wrong is None, str(wrong)[:2000]
        found = json.loads(text)
        parts = list(each_component(found))
        twice = [ref for ref, n in Counter(p["bom-ref"] for p in parts).items() if n > 1]
        assert not twice, twice
        refs = {part["bom-ref"] for part in parts} | {"project"}
        for need in found["dependencies"]:
            assert {need["ref"], *need.get("dependsOn", [])} <= refs
        for part in parts:
            if "purl" in part:
                read = PackageURL.from_string(part["purl"])
                # Readers differ in whether a version's slash stays as it is.
                again = PackageURL.from_string(read.to_string())
                assert read.name and again == read, part["purl"]
                written = read.to_string().replace("%2F", "/")
                assert written == part["purl"].replace("%2F", "/"), part["purl"]

    return check


def each_component(found: Json) -> Iterator[Json]:
    for part in found.get("components", []):
        yield part
        yield from each_component(part)


def entry(
    source: Source,
    files: list[FileEntry] | None = None,
    id: str = "m",
    revision: str = COMMIT,
    archives: tuple[FileEntry, ...] = (),
    **info: Any,
) -> Entry:
    artifact = Artifact(id, "p", source, info=info)
    own = files if files is not None else [FileEntry("a.bin", 1, SHA)]
    made = LockedArtifact(source.describe(), revision, "", own, archives=archives)
    return Entry(artifact, made, "https://example.org/o/m", "", True)


def text_of(*entries: Entry) -> str:
    return json.dumps(document(Origin("p", "", 0), entries))


def test_the_whole_catalog(sound: Check) -> None:
    units = Project(Path(__file__).parents[2]).load_everything()
    entries, lock = [], Lock()
    for unit in units:
        for artifact in unit.manifest.artifacts.values():
            known = artifact.request.known or {"weights.bin": FileEntry("weights.bin", 7, SHA)}
            made = locked(artifact, COMMIT, known.values(), "https://huggingface.co")
            lock.artifacts[artifact.manifest, artifact.id] = made
            entries.append(Entry(artifact, made, "https://example.org/x", "", True))
    assert len(entries) > 40
    text = json.dumps(document(Origin("all", dumps(lock), 0), entries))
    sound(text)
    found = json.loads(text)
    kinds = Counter(part["type"] for part in found["components"])
    assert kinds["machine-learning-model"] > 30 and kinds["data"] > 1
    needs = {need["ref"]: need.get("dependsOn", []) for need in found["dependencies"]}
    assert needs["ohlora/ohlora-llm"] == ["ohlora/polyglot-ko-1.3b"]


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("mit", {"license": {"id": "MIT"}}),
        ("MIT OR Apache-2.0", {"expression": "MIT OR Apache-2.0"}),
        (
            "GPL-2.0 WITH Classpath-exception-2.0",
            {"expression": "GPL-2.0-only WITH Classpath-exception-2.0"},
        ),
        ("llama3", {"license": {"name": "Llama-3", "url": "https://x.org/"}}),
        ("other", {"license": {"name": "other", "url": "https://x.org/"}}),
        ("LicenseRef-Ours", {"license": {"name": "LicenseRef-Ours", "url": "https://x.org/"}}),
        ("MIT AND openrail++", {"expression": "MIT AND LicenseRef-CreativeML-Open-RAILplusplus-M"}),
    ],
)
def test_licences(sound: Check, text: str, choice: Json) -> None:
    (found,) = licenses(text, "https://x.org/")
    told = json.loads(json.dumps(found))
    for part in (told, told.get("license", {})):
        part.pop("acknowledgement", None)
    assert told == choice
    sound(text_of(entry(HuggingFace("o/m"), license=text)))


def test_purls() -> None:
    made = entry(HuggingFace("o/M")).locked
    dataset = HuggingFace("o/d", "dataset", path="sub dir/x")
    for source, expected in (
        (HuggingFace("o/M"), f"pkg:huggingface/o/M@{COMMIT}"),
        (HuggingFace("gpt2"), f"pkg:huggingface/gpt2@{COMMIT}"),
        (dataset, f"pkg:huggingface/datasets/o/d@{COMMIT}#sub%20dir/x"),
        (GitHub("O/Repo"), f"pkg:github/o/repo@{COMMIT}"),
        (GitHub("o/r", release="v1+2"), "pkg:github/o/r@v1%2B2"),
        (
            Url(url="https://user:pw@x.org/a b.bin?token=secret"),
            f"pkg:generic/m@{COMMIT}?checksum=sha256:{SHA}&download_url=https://x.org/a%2520b.bin",
        ),
        (GitHub("o/r", host="git.corp.example"), f"pkg:generic/m@{COMMIT}?checksum=sha256:{SHA}"),
    ):
        assert purl.of_artifact(Artifact("m", "p", source), made) == expected


def test_no_login_stands_in_it(sound: Check) -> None:
    source = Url(url="https://user:hunter2@x.org/a.bin?token=hunter2")
    text = text_of(entry(source), entry(HuggingFace("o/m"), id="n"))
    sound(text)
    assert "hunter2" not in text and "https://x.org/a.bin" in text


def test_members_stand_in_their_archive(sound: Check) -> None:
    pack = FileEntry("a.zip", 9, "b" * 64, archive="a.zip")
    parts = [FileEntry(f"b.7z.00{n}", 9, f"{n}" * 64, archive="b.7z") for n in (1, 2)]
    members = [
        FileEntry("a.zip", 1, SHA, archive="a.zip"),  # called as its archive is
        FileEntry("x", 1, SHA, archive="a.zip", executable=True),
        FileEntry("y", 1, SHA, archive="b.7z"),
        FileEntry("z", 1, None, git_blob=COMMIT, published=f"sha512:{'c' * 128}"),
    ]
    text = text_of(entry(GitHub("o/r"), members, archives=(pack, *parts)))
    sound(text)
    (whole,) = json.loads(text)["components"]
    files = {part["name"]: part for part in whole["components"]}
    assert {part["name"] for part in files["a.zip"]["components"]} == {"a.zip", "x"}
    assert files["z"]["hashes"] == [{"alg": "SHA-512", "content": "c" * 128}]
    assert {"name": "fetch:archive", "value": "b.7z"} in files["y"]["properties"]
    assert json.loads(text)["compositions"][0]["aggregate"] == "incomplete"


NAMES = st.text(min_size=1, max_size=12).filter(lambda text: text.strip("/"))
FACTS = st.fixed_dictionaries(
    {},
    optional={
        "name": NAMES,
        "description": st.text(),
        "license": st.text() | st.sampled_from(["MIT", "other", "llama3", "(MIT", "A AND B"]),
        "tags": st.lists(NAMES, unique=True).map(tuple),
        "task": NAMES,
        "kind": st.sampled_from(["model", "dataset", "code"]),
        "io": st.dictionaries(NAMES, NAMES, max_size=2),
        "attributes": st.dictionaries(NAMES, st.integers() | NAMES | st.booleans(), max_size=3),
        "purpose": NAMES,
    },
)


@given(
    facts=FACTS,
    paths=st.lists(NAMES, unique=True, max_size=4),
    address=st.text(max_size=20),
    revision=st.text(max_size=12),
)
@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # each example costs a validation
)
def test_whatever_people_write(
    sound: Check, facts: Json, paths: list[str], address: str, revision: str
) -> None:
    files = [FileEntry(path, 1, SHA) for path in sorted(paths)]
    base: Json = {"attributes": {"base_model": address or "b"}}
    url = Url(url=f"https://x.org/{address}")
    made = entry(url, files, "b", revision, **(base | facts))
    sound(text_of(entry(HuggingFace("o/m"), files, **facts), made))


def test_a_thousand_files_and_no_licence(sound: Check) -> None:
    files = [FileEntry(f"data/{n:04d} 사진.png", n, f"{n:064x}") for n in range(1000)]
    text = text_of(entry(HuggingFace("o/d", "dataset"), files))
    sound(text)
    (found,) = json.loads(text)["components"]
    assert found["type"] == "data" and len(found["components"]) == 1000
    assert "licenses" not in found and "modelCard" not in found


VARIANTS = """variants:
  precision: {default: fp32, choices: {fp32: full, fp16: half}}
artifacts:
  full: {source: "https://x.org/full.bin", files: {full.bin: {size: 1, sha256: %(sha)s}}}
  half: {source: "https://x.org/half.bin", files: {half.bin: {size: 1, sha256: %(sha)s}}}
  extra:
    source: "https://x.org/extra.bin"
    optional: true
    files: {extra.bin: {size: 1, sha256: %(sha)s}}
  never: {source: "hf:o/never", optional: true}
"""


def test_the_command(
    tmp_path: Path, cli: Cli, sound: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = "tree:\n  f/: full\n  h/: half\n  e/: extra\n  n/: never\n"
    write_project(tmp_path, "p", VARIANTS % {"sha": SHA}, tree)
    early = cli("sbom")
    assert early.code == 7 and "fetch lock" in early.err and early.out == ""
    monkeypatch.setenv("FETCH_OFFLINE", "1")
    assert cli("lock").code == 5  # `never` is not known; the others are from the manifest
    one, other = cli("sbom"), cli("sbom")
    assert one.code == 0 and one.out != other.out  # each is another
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    text = cli("sbom").out
    assert text == cli("sbom").out
    sound(text)
    found = json.loads(text)
    assert found["metadata"]["timestamp"] == "2023-11-14T22:13:20Z"
    assert found["serialNumber"].startswith("urn:uuid:")
    scopes = {part["name"]: part["scope"] for part in found["components"]}
    assert scopes == {"full": "required", "half": "optional", "extra": "optional"}
    chosen = json.loads(cli("sbom", "--variant", "precision=fp16").out)
    assert {p["name"]: p["scope"] for p in chosen["components"]}["half"] == "required"
    assert cli("sbom", "--include-optional").code == 7  # `never` is not locked
    written = cli("sbom", "--output", "out/bom.json")
    assert written.code == 0 and (tmp_path / "out/bom.json").read_text("utf-8") == text
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    wrong = cli("sbom")
    assert wrong.code == 2 and "SOURCE_DATE_EPOCH" in wrong.err
