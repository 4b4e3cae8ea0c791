"""What people paste for a source: understood or refused in words; what is understood stays so."""

from __future__ import annotations

from fetcher.fs.safe_paths import BadPath, check_relative
from fetcher.sources import BUILT_IN, SourceType, made_of_texts
from fetcher.sources.addresses import file_of, repository_of, source_of, written_out
from fetcher.sources.base import Source
from fetcher.sources.github import GitHub
from fetcher.sources.huggingface import HuggingFace
from fetcher.yamldoc.nodes import Document, Node
from fetcher.yamldoc.schema import INVALID
from tests.fuzz.kit import Target, seed, text_of


def check(data: bytes) -> None:
    text = text_of(data)
    file_of(text)
    for read in (source_of, repository_of, _written):
        try:
            found = read(text)
        except ValueError as error:
            assert str(error)
            continue
        if found is not None:
            _is_sound(found)
    kind, _, rest = text.partition(":")
    if kind in BUILT_IN:
        _short_form(kind, rest)


def _written(text: str) -> Source | None:
    found = written_out(text)
    if found is None:
        return None
    document = Document("m.yaml")
    made = made_of_texts(*found, Node("scalar", 1, 1, text), document)
    if made is INVALID:
        raise ValueError(document.problems[0].message)
    assert isinstance(made, Source)
    return made


def _short_form(kind: str, rest: str) -> None:
    document = Document("m.yaml")
    found = SourceType(mirror=True).decode(Node("scalar", 1, 1, f"{kind}:{rest}"), document)
    if found is INVALID:
        assert document.problems
    else:
        _is_sound(found)


def _is_sound(source: Source) -> None:
    shown = source.describe()
    assert "\n" not in shown and "\0" not in shown, shown
    if isinstance(source, HuggingFace):
        kind, prefix = HuggingFace, "hf:"
    elif isinstance(source, GitHub) and not source.release and source.host == "github.com":
        kind, prefix = GitHub, "github:"  # type: ignore[assignment]
    else:
        return
    # The lock has this text: it must mean the same source again.
    if not any(char.isspace() for char in source.path):
        assert kind(**kind.from_short(shown.removeprefix(prefix))) == source, shown
    if source.path:
        try:
            check_relative(source.path)
        except BadPath as error:
            raise AssertionError(f"{shown}: {error}") from error


TARGET = Target(
    check,
    [
        seed("hf:owner/name@main:a/b"),
        seed("hf:datasets/o/d"),
        seed("gh:o/r@v1:data"),
        seed("https://huggingface.co/o/m/resolve/main/a/x.ckpt"),
        seed("https://huggingface.co/datasets/o/m/tree/refs%2Fpr%2F1/a"),
        seed("https://github.com/o/r/blob/main/a%20b/c.pt"),
        seed("https://github.com/o/r/releases/tag/v1.0"),
        seed("https://raw.githubusercontent.com/o/r/refs/heads/main/a/b.pt"),
        seed("https://github.com/o/r/releases/download/v1.0/x.pth"),
        seed("https://drive.google.com/file/d/1aAJCZbXNHyraJ6Mi13dSbe7pTyfPXha0/view?usp=sharing"),
        seed("https://drive.google.com/drive/folders/0B7EVK8r0v71pWEZsZE9oNnFzTm8"),
        seed("https://zenodo.org/records/7/files/a%20b.txt?download=1"),
        seed("https://doi.org/10.5281/zenodo.7"),
        seed("https://civitai.com/models/7?modelVersionId=42"),
        seed("https://modelscope.cn/models/o/r/resolve/v1/a/w.pt"),
        seed("https://www.dropbox.com/scl/fi/abc/w.pt?rlkey=k&dl=0"),
        seed("https://x-my.sharepoint.com/:u:/g/personal/a/b?e=1"),
        seed("s3://bucket/a/b.pt?versionId=x"),
        seed("gs://bucket/a/b.pt#17"),
        seed("az:account/bucket/a/b.pt"),
        seed("https://bucket.s3.eu-west-1.amazonaws.com/a/b.pt"),
        seed("https://storage.googleapis.com/download/storage/v1/b/bucket/o/a%2Fb"),
        seed("https://account.blob.core.windows.net/bucket/a?versionid=1"),
        seed("kaggle:models/o/m/pt/base@1:a/b"),
        seed("https://www.kaggle.com/datasets/o/d/versions/2?select=a+b"),
        seed("hf:buckets/o/b:a"),
        seed("https://huggingface.co/buckets/o/b/resolve/a%2Fb"),
        seed("git:https://host.example/o/r.git@v1:a"),
        seed("https://1drv.ms/f/s!abc"),
        seed("gdrive:folder/0B7EVK8r0v71pWEZsZE9oNnFzTm8"),
        seed("pypi:name==1.0:path"),
        seed("url:https://example.org/a.bin"),
        seed("local:../data"),
        seed("mirror:oci://h/r:t"),
    ],
    ["hf:", "github:", "url:", "pypi:", "local:", "mirror:", "https://", "huggingface.co/", "@", ":",
     "github.com/", "/tree/", "/blob/", "/resolve/", "/releases/tag/", "%2F", "%00", "%0a", "..",
     "[", "]", "datasets/", "raw.githubusercontent.com/", "refs/heads/", "//"],
    longest=300,
)  # fmt: skip
