"""What the Hub or GitHub says of a repository, as values of the form."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from fetcher.catalog.fallback import pipeline_type_of
from fetcher.errors import Failure
from fetcher.fs.globs import compile_glob
from fetcher.hardware.memory_estimate import human_count
from fetcher.i18n import t
from fetcher.network.session import Network
from fetcher.project.licenses import license_of_hub
from fetcher.project.spellings import TASKS
from fetcher.register.card import MAX_CARD, Card, of_data, of_text
from fetcher.register.checkpoint import called
from fetcher.sources.base import FileEntry, Request, Source, UrlCandidate
from fetcher.sources.github import GitHub
from fetcher.sources.huggingface import REPO, HuggingFace

_TASKS = {
    "text-to-image": "image-generation",
    "image-to-image": "image-generation",
    "unconditional-image-generation": "image-generation",
    "feature-extraction": "retrieval-embedding",
    "sentence-similarity": "retrieval-embedding",
    "image-feature-extraction": "vision-encoder",
    "zero-shot-image-classification": "vision-encoder",
    "image-text-to-text": "vision-language",
    "video-text-to-text": "vision-language",
    "visual-question-answering": "vision-language",
    "any-to-any": "vision-language",
    "image-segmentation": "segmentation",
}
# The same weights once more, for other frameworks: left out where safetensors are there.
_DOUBLES = (
    *("**/*.bin", "**/*.h5", "**/*.msgpack", "**/*.ckpt", "**/*.onnx*", "**/*openvino*"),
    *("onnx/**", "openvino/**", "coreml/**", "**/rust_model.ot"),
)
_TEXT = re.compile(r"[^\x00-\x1f\x7f]{1,200}")


@dataclass
class Upstream:
    """Values by field key; `files` with sizes, `gated` as the Hub says, `notes` for people.

    `base` is the repository of the model that this one was made from, `adapter` whether it is of
    no use without it.
    """

    name: str
    values: dict[str, Any] = field(default_factory=dict)
    files: Sequence[FileEntry] = ()
    gated: str = ""
    notes: list[str] = field(default_factory=list)
    base: str = ""
    adapter: bool = False

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry.size or 0 for entry in self.files)


def read(source: Source, network: Network) -> Upstream:
    """Ask where the source comes from. Raises Failure."""
    if isinstance(source, HuggingFace):
        return _of_hub(source, network)
    if isinstance(source, GitHub):
        return _of_github(source, network)
    found = Upstream(source.describe())
    if source.type not in {"url", "genforce", "local"}:
        _list(source, network, found)
        alone = found.files[0].path if len(found.files) == 1 else ""
        name = PurePosixPath(alone).stem or called(source)
        name = name or re.split(r"[/:]", source.describe())[-1]
        found.values |= {"name": name, "kind": "model"}
    return found


def _text(value: Any) -> str:
    """A listing's value if it is a line of text, else ""."""
    return value if isinstance(value, str) and _TEXT.fullmatch(value) else ""


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _of_hub(source: HuggingFace, network: Network) -> Upstream:
    info = source.info(network)
    found = Upstream(source.repo.rpartition("/")[2])
    _list(source, network, found)
    card, tags = _card_of(source, info, found, network), info.get("tags")
    words = [_text(tag) for tag in tags] if isinstance(tags, list) else []
    values = found.values
    values["kind"] = "dataset" if source.repo_type == "dataset" else "model"
    if task := _task(_text(info.get("pipeline_tag")) or card.task):
        values["task"] = task
    library = _text(info.get("library_name")) or card.library
    if framework := _framework(library, words):
        values["framework"] = framework
    tagged = next((word[8:] for word in words if word.startswith("license:")), "")
    if licence := card.license or license_of_hub(tagged):
        values["license"] = licence
    if facts := _facts(library, card):
        values["attributes"] = facts
    _note_base(card, library, found)
    total = _mapping(info.get("safetensors")).get("total")
    if isinstance(total, int) and total > 0:
        values["parameters"] = human_count(total)
    gated = info.get("gated")
    found.gated = gated if isinstance(gated, str) else ""
    if found.gated or info.get("private") is True:
        values["requires_auth"] = True
    pipeline = _text(_mapping(_mapping(info.get("config")).get("diffusers")).get("_class_name"))
    if pipeline:
        values.setdefault("task", "image-generation")
        values |= pipeline_type_of(pipeline)
    papers = [word.removeprefix("arxiv:") for word in words if word.startswith("arxiv:")]
    if papers:
        values["citation"] = f"arXiv:{papers[0]}"
    own = [word for word in words if re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,30}", word)]
    kept = [word for word in own if word not in {library, "region", "endpoints_compatible"}]
    if kept:
        values["tags"] = kept[:6]
    return found


def _card_of(
    source: HuggingFace, info: Mapping[str, Any], found: Upstream, network: Network
) -> Card:
    """The card as the Hub has parsed it; a server that does not has its README read."""
    dataset = source.repo_type == "dataset"
    if told := _mapping(info.get("cardData")):
        return of_data(told, dataset)
    readme = next((file for file in found.files if file.path == "README.md"), None)
    if source.path or readme is None or (readme.size or 0) > MAX_CARD:
        return Card()
    place = source.candidates("", readme, network)[-1]
    assert isinstance(place, UrlCandidate)
    try:
        answer = network.request(place.url)
    except Failure as failure:
        found.notes.append(t("its README cannot be read: {message}", message=failure.message))
        return Card()
    whole = answer.status == 200 and len(answer.body) <= MAX_CARD
    return of_text(answer.body.decode("utf-8", "replace"), dataset) if whole else Card()


def _facts(library: str, card: Card) -> dict[str, Any]:
    """What has no field of its own."""
    found: dict[str, Any] = {}
    if library:
        found["library"] = library
    if card.base_models:
        found["base_model"] = card.base_models[0]
    for key, values in (("datasets", card.datasets), ("languages", card.languages)):
        if values:
            found[key] = list(values)
    return found


def _note_base(card: Card, library: str, found: Upstream) -> None:
    names = [name for name in card.base_models if re.fullmatch(REPO, name)]
    if not names:
        return
    found.base = names[0]
    configured = any(file.path == "adapter_config.json" for file in found.files)
    found.adapter = card.relation == "adapter" or library == "peft" or configured


def _task(tag: str) -> str:
    if tag in TASKS:
        return tag
    return _TASKS.get(tag, tag if re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", tag) else "")


def _framework(library: str, words: Sequence[str]) -> str:
    for name, signs in (
        ("pytorch", {"transformers", "diffusers", "sentence-transformers", "timm", "peft"}),
        ("pytorch", {"pytorch", "safetensors"}),
        ("tensorflow", {"keras", "tf", "tf-keras", "tensorflow"}),
        ("jax", {"jax", "flax"}),
    ):
        if signs & {library, *words}:
            return name
    return ""


def _of_github(source: GitHub, network: Network) -> Upstream:
    info = source.info(network)
    found = Upstream(source.repo.rpartition("/")[2])
    values = found.values
    values["kind"] = "model"
    if text := _text(info.get("description")):
        values["description"] = text
    licence = _text(_mapping(info.get("license")).get("spdx_id"))
    if licence and licence != "NOASSERTION":
        values["license"] = licence
    if info.get("private") is True:
        values["requires_auth"] = True
    topics = info.get("topics")
    if isinstance(topics, list) and (tags := [word for item in topics if (word := _text(item))]):
        values["tags"] = tags[:6]
    _list(source, network, found)
    return found


def _covered(path: str, globs: Sequence[str]) -> bool:
    return any(compile_glob(glob).matches(path) for glob in globs)


def _list(source: Source, network: Network, found: Upstream) -> None:
    """The files; where several forms of the same weights lie side by side, safetensors."""
    try:
        found.files = source.resolve(Request(), network).files
    except Failure as failure:
        found.notes.append(t("its files cannot be listed: {message}", message=failure.message))
        return
    if any(entry.path.endswith(".safetensors") for entry in found.files):
        left_out: list[str] = []
        for glob in _DOUBLES:
            compiled = compile_glob(glob)
            if any(
                compiled.matches(e.path) and not _covered(e.path, left_out) for e in found.files
            ):
                left_out.append(glob)
        if left_out:
            found.values["exclude"] = left_out
            kept = [entry for entry in found.files if not _covered(entry.path, left_out)]
            found.files = kept
            found.notes.append(
                t("weights that are there as safetensors are taken in that form only")
            )
