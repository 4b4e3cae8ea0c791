"""Language models in GGUF files, through llama-cpp-python.

Runs under the project's interpreter: syntax of Python 3.8, libraries imported inside functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fetcher.verify.loaders import LoadError, first_line, is_memory

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_CONTEXT = 256  # tokens


def load(file: Path, *, gpu: bool = False, seed: int = 0) -> Any:
    """Return llama.cpp's model of a GGUF file, which keeps the logits of all tokens.

    Raises LoadError.
    """
    import llama_cpp

    try:
        return llama_cpp.Llama(
            model_path=str(file),
            n_ctx=_CONTEXT,
            n_batch=_CONTEXT,
            logits_all=True,
            n_gpu_layers=-1 if gpu else 0,
            seed=seed,
            verbose=False,
        )
    except Exception as error:
        if is_memory(error):
            raise
        raise LoadError(
            f"llama.cpp cannot load {file.name}: {first_line(error)}",
            "upgrade llama-cpp-python, if the model is of a newer kind than it",
        ) from error


def logits(model: Any, text: str) -> tuple[list[int], Any]:
    """Return a text's token ids, and the logits after each, float32 (tokens, vocabulary)."""
    import numpy

    ids = model.tokenize(text.encode("utf-8"))[:_CONTEXT]
    model.reset()
    model.eval(ids)
    return ids, numpy.array(model.scores[: len(ids)], dtype="float32")


def loss(ids: Sequence[int], logits: Any) -> float:
    """Return the mean negative log-likelihood of each token after the first, in nats."""
    import numpy

    values = logits[:-1].astype("float64")
    values = values - values.max(axis=1, keepdims=True)
    total = numpy.log(numpy.exp(values).sum(axis=1))
    picked = values[numpy.arange(len(values)), list(ids[1:])]
    return float((total - picked).mean())


def continued(model: Any, text: str, count: int) -> list[int]:
    """Return the token ids of a greedy continuation; shorter where the model ends it."""
    ids = list(model.tokenize(text.encode("utf-8")))
    end = model.token_eos()
    found: list[int] = []
    for token in model.generate(ids, temp=0.0, top_k=1, reset=True):
        if token == end or len(found) >= count:
            break
        found.append(int(token))
    return found
