"""Models that a causal language model's probe is not for, and which probe they are for.

Transformers loads some of them all the same, with a head that is random, or takes the mistake for
an old release of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from fetcher.verify.loaders import LoadError, is_built_in

if TYPE_CHECKING:
    from fetcher.verify.contract.foreign import ModelConfig

_CAUSAL_ENDINGS = ("ForCausalLM", "LMHeadModel", "DoubleHeadsModel")
_WRITES = "text2text-generation"
# Tables of transformers by what their classes are for, the first that has a class decides.
_TASKS = (
    ("SPEECH_SEQ_2_SEQ", "speech recogniser", "automatic-speech-recognition"),
    ("CTC", "speech recogniser", "automatic-speech-recognition"),
    ("IMAGE_TEXT_TO_TEXT", "vision-language model", ""),
    ("VISION_2_SEQ", "vision-language model", ""),
    ("SEQ_TO_SEQ_CAUSAL_LM", "encoder-decoder", _WRITES),
    ("MASKED_LM", "encoder with a head for masked words", "fill-mask"),
    ("SEQUENCE_CLASSIFICATION", "classifier of texts", "text-classification"),
    ("TOKEN_CLASSIFICATION", "classifier of tokens", "token-classification"),
    ("QUESTION_ANSWERING", "finder of answers in a text", "question-answering"),
    ("TEXT_TO_WAVEFORM", "synthesiser of speech", "text-to-speech"),
    ("TEXT_TO_SPECTROGRAM", "synthesiser of speech", "text-to-speech"),
    ("IMAGE_CLASSIFICATION", "classifier of pictures", "image-classification"),
    ("OBJECT_DETECTION", "detector of objects", "object-detection"),
    ("SEMANTIC_SEGMENTATION", "segmenter of pictures", "image-segmentation"),
    ("DEPTH_ESTIMATION", "estimator of depth", "depth-estimation"),
    ("AUDIO_CLASSIFICATION", "classifier of sounds", "audio-classification"),
)


class OtherKind(NamedTuple):
    """What a model is that is no causal language model: its class, what that is, and its task of
    the probe `transformers`; '' if it has none there.
    """

    name: str
    what: str
    task: str

    @property
    def writes(self) -> bool:
        """Tell whether it is an encoder-decoder, which writes text all the same."""
        return self.task == _WRITES


def other_kind(config: ModelConfig) -> OtherKind | None:
    """Return what a built-in model is that is no causal language model, by its config.json.

    None for causal language models, and for kinds and classes that the installed transformers does
    not know: loading tells.
    """
    import transformers.models.auto.modeling_auto as auto

    kind, architecture = str(config.get("model_type")), _architecture(config)
    causal = _table(auto, "CAUSAL_LM")
    if not is_built_in(kind) or architecture.endswith(_CAUSAL_ENDINGS):
        return None
    if architecture and architecture in _names(causal.values()):
        return None
    found = _task(auto, kind, architecture)
    if found is None and kind in causal and not _is_encoder(auto, kind):
        return None
    if found is not None and not found[1] and kind in causal:
        return None  # its text side alone may be what is wanted
    what, task = found or ("model without a head that writes", "feature-extraction")
    return OtherKind(architecture or kind, what, task)


def refuse_other_kinds(config: ModelConfig) -> None:
    """Raise LoadError for a model that is no causal language model, with the probe to write."""
    found = other_kind(config)
    if found is None:
        return
    named, what, task = found
    wanted = f"{{type: transformers, task: {task}}}" if task else "{type: vision-language}"
    more = ", or `{type: sentence-transformer, pooling: mean}`" if "feature" in task else ""
    raise LoadError(
        f"config.json is of a {named} ({what}), which is no causal language model",
        f"write `probe: {wanted}`{more}",
    )


def _architecture(config: ModelConfig) -> str:
    names = config.get("architectures")
    first = names[0] if isinstance(names, list) and names else ""
    return first if isinstance(first, str) else ""


def _task(auto: Any, kind: str, architecture: str) -> tuple[str, str] | None:
    """Return what a model is and its task; without a class by its kind, which encoders share."""
    for table, what, task in _TASKS:
        known = _table(auto, table)
        if architecture in _names(known.values()):
            return what, task
        if not architecture and table in ("SEQ_TO_SEQ_CAUSAL_LM", "MASKED_LM") and kind in known:
            return what, task
    return None


def _is_encoder(auto: Any, kind: str) -> bool:
    return kind in _table(auto, "MASKED_LM") or kind in _table(auto, "SEQ_TO_SEQ_CAUSAL_LM")


def _table(auto: Any, name: str) -> dict[str, Any]:
    return dict(getattr(auto, f"MODEL_FOR_{name}_MAPPING_NAMES", {}))


def _names(values: Any) -> set[str]:
    found: set[str] = set()
    for value in values:
        found.update(value if isinstance(value, (list, tuple)) else [value])
    return found
