"""On a GPU: what loading took is given back. Skipped where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from fetcher.models import ModelManager
from tests.models.conftest import Place

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")


def test_unloading_gives_gpu_memory_back(
    built: Path, minilm: Path, place: Place, manager: ModelManager
) -> None:
    place(built / "tiny")
    place(minilm, "minilm")
    before = torch.cuda.memory_allocated()
    manager.get_chat_model().invoke("hello", max_new_tokens=4)
    manager.get_embedding_model().embed_query("hello")
    taken = torch.cuda.memory_allocated() - before
    assert taken > 0 and all(one["taken_gpu_bytes"] > 0 for one in manager.stats())
    freed = manager.unload_all()
    assert freed.gpu_freed >= 0.95 * freed.gpu_taken
    assert torch.cuda.memory_allocated() - before <= 0.05 * taken
