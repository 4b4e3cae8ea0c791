"""Models of transformers for a task, by the names that its pipelines have, from a laid-out folder.

Nothing is looked up by a repository's name, and no code of a repository is run without consent.
Runs under the project's interpreter: syntax of Python 3.8, libraries imported inside functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from fetcher.verify.contract.consent import NO_CONSENT, CodeConsent
from fetcher.verify.contract.probe_errors import ProbeError
from fetcher.verify.loaders import LoadError, first_line, pretrained, quiet, vet

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fetcher.verify.contract.foreign import ModelConfig

TEXT, PAIR, TEXTS, PICTURE, BOTH, SOUND = "text", "pair", "texts", "picture", "both", "sound"


class Task(NamedTuple):
    """A task's Auto classes, of which the first that knows the model is used, and its input.

    `labels`: the answer has a number for each label of config.json.
    """

    autos: tuple[str, ...]
    takes: str
    labels: bool = False


_SEQ2SEQ = Task(("AutoModelForSeq2SeqLM",), TEXTS)
_SPEAKS = Task(("AutoModelForTextToWaveform", "AutoModelForTextToSpectrogram"), TEXT)
# In the order in which a model's architecture is looked for in them.
TASKS: Mapping[str, Task] = {
    "text-classification": Task(("AutoModelForSequenceClassification",), TEXT, True),
    "text-ranking": Task(("AutoModelForSequenceClassification",), PAIR, True),
    "zero-shot-classification": Task(("AutoModelForSequenceClassification",), PAIR, True),
    "token-classification": Task(("AutoModelForTokenClassification",), TEXT, True),
    "question-answering": Task(("AutoModelForQuestionAnswering",), PAIR),
    "fill-mask": Task(("AutoModelForMaskedLM",), TEXT),
    "automatic-speech-recognition": Task(("AutoModelForCTC", "AutoModelForSpeechSeq2Seq"), SOUND),
    "text2text-generation": _SEQ2SEQ,
    "summarization": _SEQ2SEQ,
    "translation": _SEQ2SEQ,
    "audio-classification": Task(("AutoModelForAudioClassification",), SOUND, True),
    "text-to-audio": _SPEAKS,
    "text-to-speech": _SPEAKS,
    "image-classification": Task(("AutoModelForImageClassification",), PICTURE, True),
    "object-detection": Task(("AutoModelForObjectDetection",), PICTURE),
    "image-segmentation": Task(
        (
            "AutoModelForSemanticSegmentation",
            "AutoModelForUniversalSegmentation",
            "AutoModelForInstanceSegmentation",
            "AutoModelForImageSegmentation",
        ),
        PICTURE,
    ),
    "depth-estimation": Task(("AutoModelForDepthEstimation",), PICTURE),
    "zero-shot-image-classification": Task(("AutoModelForZeroShotImageClassification",), BOTH),
    "zero-shot-object-detection": Task(("AutoModelForZeroShotObjectDetection",), BOTH),
    # Of a kind with two halves, such as T5, the files may hold the first one alone.
    "feature-extraction": Task(("AutoModel", "AutoModelForTextEncoding"), TEXT),
    "image-feature-extraction": Task(("AutoModel",), PICTURE),
}
_PICTURES_OF_THEIR_OWN = ("image_size", "num_channels")


def task_of(config: ModelConfig) -> str:
    """Return the task of the first architecture in config.json. Raises ProbeError if it has none
    that is known.
    """
    listed = config.get("architectures")
    name = str(listed[0]) if isinstance(listed, list) and listed else ""
    kind = str(config.get("model_type"))
    if name.endswith(("ForCausalLM", "LMHeadModel")):
        raise ProbeError(f"config.json: {name} writes text", "`probe: {type: causal-lm}`")
    if name.endswith("ForSequenceClassification") and "sentence_transformers" in config:
        labels = config.get("id2label")
        if isinstance(labels, dict) and len(labels) == 1:
            return "text-ranking"
    for task, known in TASKS.items():
        if task == "fill-mask" and name.endswith("ForConditionalGeneration"):
            continue  # BART and its like are listed there too, whatever they were trained for
        if any(name in _classes(auto, kind) for auto in known.autos):
            seeing = any(key in config for key in _PICTURES_OF_THEIR_OWN)
            return f"image-{task}" if task == "feature-extraction" and seeing else task
    if name.endswith("ForPreTraining") and _classes("AutoModelForMaskedLM", kind):
        # Of ELECTRA's two nets, the one that is kept tells words apart and fills no blanks.
        return "feature-extraction" if kind == "electra" else "fill-mask"
    raise ProbeError(
        f"config.json: architectures is {listed!r}, which belongs to no task that is known here",
        f"say which: `task: …`, one of {', '.join(TASKS)}",
    )


def _classes(auto: str, kind: str) -> tuple[str, ...]:
    """Return the names of the classes that an Auto class has for a model_type."""
    import transformers

    mapping = getattr(getattr(transformers, auto, None), "_model_mapping", None)
    found = getattr(mapping, "_model_mapping", {}).get(kind, ())
    return (found,) if isinstance(found, str) else tuple(found)


def load(
    folder: Path, task: str, config: ModelConfig, dtype: Any, consent: CodeConsent = NO_CONSENT
) -> tuple[Any, tuple[str, ...], tuple[str, ...]]:
    """Load a model for a task of `TASKS` on the CPU in eval mode; `config` is its config.json.

    Returns it with its `missing` tensors, which no file held and are random, and `unused` ones.
    Raises LoadError.
    """
    import transformers

    quiet(transformers)
    vet(folder, consent, built_in_first=True)
    kind = str(config.get("model_type"))
    listed = config.get("architectures")
    named = str(listed[0]) if isinstance(listed, list) and listed else ""
    known = [auto for auto in TASKS[task].autos if _classes(auto, kind)]
    # Some kinds have two, such as for speech: with letters, or with words.
    chosen = [auto for auto in known if named in _classes(auto, kind)] or known
    if not chosen:
        raise LoadError(
            f"the installed transformers {transformers.__version__} has no model of type {kind} "
            f"for the task {task}; config.json names {named or 'no architecture'}",
            "another `task`? Else upgrade transformers in the project's environment",
        )
    return pretrained(getattr(transformers, chosen[0]), folder, dtype, consent)


def load_sound_processor(folder: Path, consent: CodeConsent = NO_CONSENT) -> Any:
    """Load what turns sound into a model's input. Raises LoadError."""
    import transformers

    vet(folder, consent, built_in_first=True)
    try:
        return transformers.AutoFeatureExtractor.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=consent.given
        )
    except Exception as error:
        raise LoadError(
            f"what prepares sound cannot be loaded from {folder}: {first_line(error)}",
            "is preprocessor_config.json (or processor_config.json) laid out?",
        ) from error
