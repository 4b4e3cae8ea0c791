"""Sentence encoders (S-BERT) from a laid-out folder.

Nothing is looked up by a repository's name, and no code of a repository is run without consent.
Runs under the project's interpreter: syntax of Python 3.8, libraries imported inside functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fetcher.verify.contract.consent import NO_CONSENT, CodeConsent
from fetcher.verify.loaders import LoadError, dtype_argument, explained, first_line, quiet, vet

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fetcher.verify.contract.foreign import Arguments


def load(
    folder: Path,
    *,
    device: str = "cpu",
    dtype: Any = None,
    pooling: str | None = None,
    max_seq_length: int | None = None,
    consent: CodeConsent = NO_CONSENT,
) -> Any:
    """Load the encoder in `folder` and return a SentenceTransformer in eval mode.

    With `pooling` it is put together from the encoder and one pooling layer, as projects do whose
    folder has no modules.json; else as modules.json says. `dtype` is torch's type, None: as the
    library does by default. Raises LoadError, also for what would run code without consent to it.
    """
    import sentence_transformers
    import transformers

    quiet(transformers)
    vet(folder, consent, built_in_first=True)
    arguments = {} if dtype is None else dtype_argument(transformers, dtype)
    try:
        if pooling is None:
            model = sentence_transformers.SentenceTransformer(
                str(folder),
                device=device,
                local_files_only=True,
                trust_remote_code=consent.given,
                model_kwargs=arguments,
            )
        else:
            model = _assemble(
                sentence_transformers, folder, device, {**arguments, **_local(consent)}, pooling
            )
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) or "unexpected keyword argument" in str(error):
            raise LoadError(
                f"sentence-transformers {sentence_transformers.__version__} cannot load "
                f"{folder}: {first_line(error)}",
                "it was saved by a newer release: upgrade sentence-transformers in the project's "
                "environment",
            ) from error
        raise explained(error, folder, transformers.AutoModel) from error
    if max_seq_length is not None:
        model.max_seq_length = max_seq_length
    return model.eval()


def _local(consent: CodeConsent) -> Arguments:
    """Return what `from_pretrained` is told of the network and of the repository's code."""
    return {"local_files_only": True, "trust_remote_code": consent.given}


def _assemble(library: Any, folder: Path, device: str, arguments: Arguments, pooling: str) -> Any:
    try:  # where release 6 keeps them
        from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    except ImportError:
        from sentence_transformers.models import Pooling, Transformer
    import inspect

    known = inspect.signature(Transformer.__init__).parameters
    names = {"model_args": "model_kwargs", "tokenizer_args": "processor_kwargs"}
    names["config_args"] = "config_kwargs"
    keys = {old: old if old in known else new for old, new in names.items()}
    base = {name: arguments[name] for name in ("local_files_only", "trust_remote_code")}
    given = {
        keys["model_args"]: arguments,
        keys["tokenizer_args"]: dict(base),
        keys["config_args"]: dict(base),
    }
    encoder = Transformer(str(folder), **given)
    size = getattr(encoder, "get_embedding_dimension", None)
    size = size or encoder.get_word_embedding_dimension
    return library.SentenceTransformer(
        modules=[encoder, Pooling(size(), pooling_mode=pooling)], device=device
    )


def encode(model: Any, sentences: Sequence[str], prompt: str | None = None) -> Any:
    """Return the embeddings of sentences, float32 of shape (sentences, dimension), on the CPU.

    `prompt` names one of the model's prompts, such as `query`; it counts if the model has it.
    Raises LoadError if the model has no pooling.
    """
    import torch

    given = getattr(model, "prompts", None) or {}
    named = {"prompt_name": prompt} if prompt is not None and given.get(prompt) else {}
    try:
        with torch.inference_mode():
            found = model.encode(
                list(sentences), convert_to_tensor=True, show_progress_bar=False, **named
            )
    except KeyError as error:
        if "sentence_embedding" not in str(error):
            raise
        raise LoadError(
            "no module of modules.json makes one vector of a text: there is no pooling",
            "is this the right modules.json? Else say how to pool: `probe: {pooling: mean}`",
        ) from error
    return found.float().cpu()


def encoder_of(model: Any) -> Any:
    """Return the transformers model inside; of what is none, its first module."""
    first = model[0]
    for name in ("auto_model", "model"):
        if getattr(first, name, None) is not None:
            return getattr(first, name)
    return first


def is_static(model: Any) -> bool:
    """Tell whether the encoder is a table of word vectors, or counts words: without layers."""
    return type(model[0]).__name__ in ("StaticEmbedding", "WordEmbeddings", "BoW")


def token_ids(model: Any, sentences: Sequence[str]) -> list[list[int]]:
    """Return the tokens of each sentence, as the model's tokenizer gives them."""
    tokenizer = model.tokenizer
    if hasattr(tokenizer, "encode_batch"):  # of the library tokenizers, as static encoders have it
        found = tokenizer.encode_batch(list(sentences), add_special_tokens=False)
        return [list(one.ids) for one in found]
    if not callable(tokenizer):  # the library's own, of words between spaces
        return [list(map(int, tokenizer.tokenize(sentence))) for sentence in sentences]
    return [list(map(int, ids)) for ids in tokenizer(list(sentences))["input_ids"]]


def word_vectors(model: Any) -> int | None:
    """Return for how many tokens there is a vector; None if the encoder does not say."""
    encoder = encoder_of(model)
    if type(model[0]).__name__ == "StaticEmbedding":
        return int(encoder.embedding.weight.shape[0])
    try:
        return int(encoder.get_input_embeddings().weight.shape[0])
    except (AttributeError, NotImplementedError):  # such as of pictures and texts
        return None
