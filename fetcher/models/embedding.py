"""Embedding models: texts in, vectors out; through sentence-transformers or onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fetcher.errors import UsageError
from fetcher.models.base import BaseModel, ModelError
from fetcher.verify.loaders import first_line

if TYPE_CHECKING:
    from fetcher.models.langchain import FetchEmbeddings


class BaseEmbeddingModel(BaseModel):
    """An embedding model. Subclasses have `_load` and `_embed`, or override the public methods."""

    kind = "embedding"

    def embed_documents(self, texts: Sequence[str]) -> list[list[float]]:
        """The vectors of texts, each of the model's dimension. Raises UsageError, NotLoaded."""
        return self._vectors(texts, "document")

    def embed_query(self, text: str) -> list[float]:
        """The vector of a question; models that have a prompt for questions use it."""
        if not isinstance(text, str):
            raise UsageError(f"a query is a {type(text).__name__}, expected a text")
        return self._vectors([text], "query")[0]

    def as_langchain(self) -> FetchEmbeddings:
        """This model as LangChain's Embeddings; needs langchain-core (extra `langchain`)."""
        from fetcher.models.langchain import FetchEmbeddings

        return FetchEmbeddings(self)

    def _vectors(self, texts: Sequence[str], prompt: str) -> list[list[float]]:
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            raise UsageError("embed_documents takes a list of texts", "embed_query takes one text")
        with self.in_use() as (engine, call):
            try:
                found = self._embed(engine, texts, prompt) if texts else []
            except ModelError:
                raise
            except Exception as error:
                raise ModelError(f"{self.name} failed: {first_line(error)}") from error
            call.items = len(texts)
            del engine
        return found

    def _embed(self, engine: Any, texts: Sequence[str], prompt: str) -> list[list[float]]:
        raise NotImplementedError


class SentenceTransformerModel(BaseEmbeddingModel):
    """An encoder of sentence-transformers."""

    libraries = (
        ("torch", "torch", "sentence-transformer"),
        ("transformers", "transformers", "sentence-transformer"),
        ("sentence_transformers", "sentence-transformers", "sentence-transformer"),
    )

    def _load(self) -> Any:
        from fetcher.verify.loaders import sentence_transformer

        if self.spec.folder is None:
            raise ModelError(f"{self.name}: its files are not together in one folder")
        return sentence_transformer.load(
            self.spec.folder,
            device=self._device(),
            dtype=self._dtype(None),
            pooling=self.spec.options.get("pooling"),
            max_seq_length=self.spec.options.get("max_seq_length"),
        )

    def _embed(self, engine: Any, texts: Sequence[str], prompt: str) -> list[list[float]]:
        from fetcher.verify.loaders import sentence_transformer

        found: list[list[float]] = sentence_transformer.encode(engine, texts, prompt).tolist()
        return found


class OnnxEmbeddingModel(BaseEmbeddingModel):
    """An encoder that was exported to ONNX, through onnxruntime; torch is not needed."""

    libraries = (
        ("numpy", "numpy", "onnx"),
        ("onnxruntime", "onnxruntime", "onnx"),
        ("tokenizers", "tokenizers", "onnx"),
    )

    def _load(self) -> Any:
        from fetcher.verify.loaders import onnx

        if self.spec.folder is None:
            raise ModelError(f"{self.name}: its files are not together in one folder")
        loaded = onnx.load(self.spec.folder, device=self.spec.device)
        self.monitor.on_device(loaded.device)
        return loaded

    def _embed(self, engine: Any, texts: Sequence[str], prompt: str) -> list[list[float]]:
        from fetcher.verify.loaders import onnx

        found: list[list[float]] = onnx.encode(engine, texts, prompt).tolist()
        return found
