"""Embedding models through sentence-transformers or onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fetcher.i18n import t
from fetcher.models.base import BaseEmbeddingModel
from fetcher.models.model_errors import ModelError


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
            raise ModelError(t("{name}: its files are not together in one folder", name=self.name))
        return sentence_transformer.load(
            self.spec.folder,
            device=self._device(),
            dtype=self._dtype(None),
            pooling=self.spec.options.get("pooling"),
            max_seq_length=self.spec.options.get("max_seq_length"),
            consent=self._consent(),
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
            raise ModelError(t("{name}: its files are not together in one folder", name=self.name))
        loaded = onnx.load(self.spec.folder, device=self.spec.device)
        self.monitor.on_device(loaded.device)
        return loaded

    def _embed(self, engine: Any, texts: Sequence[str], prompt: str) -> list[list[float]]:
        from fetcher.verify.loaders import onnx

        found: list[list[float]] = onnx.encode(engine, texts, prompt).tolist()
        return found
