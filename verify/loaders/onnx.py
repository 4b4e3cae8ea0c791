"""Sentence encoders that were exported to ONNX, from a laid-out folder, through onnxruntime.

Needs numpy, onnxruntime and tokenizers; torch is not imported. Runs under the project's
interpreter: syntax of Python 3.8, libraries imported inside functions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fetcher.verify.contract import json_text
from fetcher.verify.contract.install_line import pip_install
from fetcher.verify.contract.regular import read_regular
from fetcher.verify.loaders import LoadError, first_line, is_memory
from fetcher.verify.weights import onnx_data

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from fetcher.verify.contract.foreign import ModelConfig

_NAMES = ("model.onnx", "onnx/model.onnx")
_LENGTH = 512  # tokens
_BATCH = 32  # texts


@dataclass(frozen=True)
class Encoder:
    """A session with its tokenizer, and how vectors are made of what it returns."""

    session: Any
    tokenizer: Any
    pooling: str
    normalise: bool
    device: str
    prompts: Mapping[str, str] = field(default_factory=dict)


def find(folder: Path) -> Path | None:
    """Return the ONNX file of a folder, None if there is none or it is not clear which."""
    for name in _NAMES:
        if (folder / name).is_file():
            return folder / name
    found = sorted(folder.glob("*.onnx")) or sorted(folder.glob("onnx/*.onnx"))
    return found[0] if len(found) == 1 else None


def load(folder: Path, *, device: str = "auto") -> Encoder:
    """Load the encoder in `folder`. Raises LoadError."""
    import tokenizers

    file = find(folder)
    if file is None:
        raise LoadError(f"there is no {_NAMES[0]} in {folder}", "add it to the artifact's `files`")
    if not (folder / "tokenizer.json").is_file():
        raise LoadError(
            f"there is no tokenizer.json in {folder}", "add it to the artifact's `files`"
        )
    refuse_elsewhere(file)
    session = open_session(file, device)
    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:
        if is_memory(error):
            raise
        raise LoadError(
            f"tokenizers cannot load {folder / 'tokenizer.json'}: {first_line(error)}",
            "are all its files there? fetch check tells which are missing or modified",
        ) from error
    limit = _settings(folder / "sentence_bert_config.json").get("max_seq_length")
    tokenizer.enable_truncation(limit if isinstance(limit, int) and limit > 0 else _LENGTH)
    if tokenizer.padding is None:
        name = _settings(folder / "tokenizer_config.json").get("pad_token")
        name = name.get("content") if isinstance(name, dict) else name
        number = tokenizer.token_to_id(name) if isinstance(name, str) else None
        tokenizer.enable_padding(pad_id=number or 0, pad_token=name or "[PAD]")
    else:
        tokenizer.enable_padding(**{**tokenizer.padding, "length": None})
    modules = _settings(folder / "modules.json", list)
    prompts = _settings(folder / "config_sentence_transformers.json").get("prompts")
    return Encoder(
        session,
        tokenizer,
        _pooling(_settings(folder / "1_Pooling" / "config.json")),
        any(str(one.get("type", "")).endswith("Normalize") for one in modules),
        device_of(session),
        prompts if isinstance(prompts, dict) else {},
    )


def open_session(file: Path, device: str, *, pack: bool = True) -> Any:
    """Return onnxruntime's session of a model, which it computes on `device`.

    `pack`: weights are copied into the order that kernels read fastest, which pays for many runs.
    What the model takes data from must have been judged before (`refuse_elsewhere`). Raises
    LoadError.
    """
    import onnxruntime

    provider = _provider(onnxruntime, device)
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4  # errors are raised as well
    if not pack:
        settings.add_session_config_entry("session.disable_prepacking", "1")
    try:
        return onnxruntime.InferenceSession(str(file), settings, providers=[provider])
    except Exception as error:
        if is_memory(error):
            raise
        told = first_line(error)
        newer = "opset" in told.lower() and "support" in told.lower()
        raise LoadError(
            f"onnxruntime cannot load {file}: {told}",
            "upgrade onnxruntime in the project's environment"
            if newer or "IR version" in told
            else "are all its files there? fetch check tells which are missing or modified",
        ) from error


def device_of(session: Any) -> str:
    """Return where a session computes: `cpu` or `cuda:0`."""
    return "cuda:0" if session.get_providers()[:1] == ["CUDAExecutionProvider"] else "cpu"


def refuse_elsewhere(file: Path) -> None:
    """Raise LoadError for a model whose data lies elsewhere than with it."""
    try:
        told = onnx_data.complaint(file)
    except (OSError, ValueError) as error:
        raise LoadError(
            f"onnxruntime cannot load {file}: it is no whole ONNX model ({first_line(error)})",
            "are all its files there? fetch check tells which are missing or modified",
        ) from error
    if told:
        raise LoadError(
            f"refused: {file}: {told}",
            "nothing of it was read; take a model whose data lies in its own folder",
        )


def encode(encoder: Encoder, sentences: Sequence[str], prompt: str | None = None) -> Any:
    """Return the embeddings of sentences, a float32 array (sentences, dimension).

    `prompt` names one of the model's prompts, such as `query`; it counts if the model has it.
    """
    import numpy

    front = encoder.prompts.get(prompt or "", "")
    texts = [front + sentence for sentence in sentences]
    parts = [_encode(encoder, texts[n : n + _BATCH]) for n in range(0, len(texts), _BATCH)]
    return numpy.concatenate(parts).astype("float32")


def _encode(encoder: Encoder, texts: Sequence[str]) -> Any:
    import numpy

    read = encoder.tokenizer.encode_batch(list(texts))
    mask = numpy.array([one.attention_mask for one in read], dtype="int64")
    given = {
        "input_ids": numpy.array([one.ids for one in read], dtype="int64"),
        "attention_mask": mask,
        "token_type_ids": numpy.array([one.type_ids for one in read], dtype="int64"),
    }
    wanted = {one.name for one in encoder.session.get_inputs()}
    outputs = [one.name for one in encoder.session.get_outputs()]
    found = dict(
        zip(outputs, encoder.session.run(None, {k: v for k, v in given.items() if k in wanted}))
    )
    whole: Any = found.get("sentence_embedding")
    if whole is None:
        states: Any = found.get("last_hidden_state", found[outputs[0]])
        whole = states if states.ndim == 2 else _pool(states, mask, encoder.pooling)
    if encoder.normalise:
        whole = whole / numpy.maximum(numpy.linalg.norm(whole, axis=1, keepdims=True), 1e-12)
    return whole


def _pool(states: Any, mask: Any, pooling: str) -> Any:
    import numpy

    if pooling == "cls":
        return states[:, 0]
    weights = mask[:, :, None].astype(states.dtype)
    if pooling == "max":
        return numpy.where(weights > 0, states, -numpy.inf).max(1)
    return (states * weights).sum(1) / numpy.maximum(weights.sum(1), 1e-9)


def _pooling(config: ModelConfig) -> str:
    named = config.get("pooling_mode")
    if isinstance(named, str):
        return named
    chosen = [
        short
        for short, key in (("cls", "cls_token"), ("max", "max_tokens"), ("mean", "mean_tokens"))
        if config.get(f"pooling_mode_{key}")
    ]
    return chosen[0] if chosen else "mean"


def _provider(onnxruntime: Any, device: str) -> str:
    there = onnxruntime.get_available_providers()
    if device.startswith("cuda") and "CUDAExecutionProvider" not in there:
        raise LoadError(
            f"device {device} is not there: onnxruntime offers {', '.join(there)}",
            f"{pip_install(['onnxruntime-gpu'])}, or use the device cpu",
        )
    wanted = device == "auto" or device.startswith("cuda")
    use = wanted and "CUDAExecutionProvider" in there
    return "CUDAExecutionProvider" if use else "CPUExecutionProvider"


def _settings(path: Path, kind: type = dict) -> Any:
    """Return a JSON file's content if it is of this kind, else an empty one."""
    try:
        found = json_text.loads(read_regular(path))
    except (OSError, ValueError, RecursionError):
        return kind()
    return found if isinstance(found, kind) else kind()
