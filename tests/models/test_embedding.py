"""Embedding models: the real MiniLM through its two libraries."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest

from fetcher.errors import UsageError
from fetcher.models import ModelError, ModelManager
from tests.models.conftest import Place

TEXTS = ["A man is playing the guitar.", "Someone plays a guitar.", "The stock market fell."]


def cosine(a: list[float], b: list[float]) -> float:
    return float(sum(x * y for x, y in zip(a, b, strict=True)))


def test_minilm_tells_alike_from_unlike(minilm: Path, place: Place, manager: ModelManager) -> None:
    place(minilm, "minilm")
    model = manager.get_embedding_model()
    vectors = model.embed_documents(TEXTS)
    assert [len(vector) for vector in vectors] == [384] * 3
    assert all(isinstance(number, float) for number in vectors[0])
    assert cosine(vectors[0], vectors[1]) > 0.7 > 0.3 > cosine(vectors[0], vectors[2])
    query = model.embed_query(TEXTS[0])
    assert cosine(query, vectors[0]) == pytest.approx(1, abs=1e-4)
    assert model.embed_documents([]) == []
    for wrong in ("text", [5], [None]):
        with pytest.raises(UsageError, match="takes a list of texts"):
            model.embed_documents(wrong)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="a query is a list"):
        model.embed_query(["x"])  # type: ignore[arg-type]
    assert manager.stats()[0]["items"] == 4


@pytest.fixture(scope="session")
def exported(minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MiniLM as ONNX, without its other weights."""
    for name in ("onnx", "onnxruntime"):
        pytest.importorskip(name, reason=f"{name} is not installed")
    import torch
    from transformers import AutoModel

    folder = tmp_path_factory.mktemp("onnx") / "minilm-onnx"
    unwanted = shutil.ignore_patterns("*.safetensors", "*.bin")
    shutil.copytree(minilm, folder, ignore=unwanted)

    class States(torch.nn.Module):  # type: ignore[misc]
        def __init__(self, inner: Any) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, ids: Any, mask: Any, types: Any) -> Any:
            return self.inner(
                input_ids=ids, attention_mask=mask, token_type_ids=types
            ).last_hidden_state

    names = ["input_ids", "attention_mask", "token_type_ids"]
    axes = {name: {0: "texts", 1: "tokens"} for name in [*names, "last_hidden_state"]}
    example = torch.ones((2, 5), dtype=torch.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            States(AutoModel.from_pretrained(minilm).eval()),
            (example, example, example * 0),
            str(folder / "model.onnx"),
            input_names=names,
            output_names=["last_hidden_state"],
            dynamic_axes=axes,
            dynamo=False,
        )
    return folder


@pytest.mark.heavy
def test_onnx_says_the_same_as_torch(
    minilm: Path, exported: Path, place: Place, manager: ModelManager
) -> None:
    place(minilm, "minilm")
    folder = place(exported)
    model = manager.get_embedding_model("minilm-onnx")
    assert type(model).__name__ == "OnnxEmbeddingModel"
    ours = model.embed_documents([*TEXTS, "word " * 600])
    theirs = manager.get_embedding_model("minilm").embed_documents([*TEXTS, "word " * 600])
    for a, b in zip(ours, theirs, strict=True):
        assert a == pytest.approx(b, abs=2e-4)
    with pytest.raises(UsageError, match="no backend 'tensorrt'"):
        manager.get_embedding_model("minilm", backend="tensorrt")
    with pytest.raises(ModelError, match=r"minilm: there is no model\.onnx"):
        manager.get_embedding_model("minilm", backend="onnx")
    manager.unload_all()
    (folder / "model.onnx").write_bytes(b"\x08\x07 not a model")
    with pytest.raises(ModelError, match="onnxruntime cannot load"):
        manager.get_embedding_model("minilm-onnx")
