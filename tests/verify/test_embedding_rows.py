"""Rows of embeddings and codebooks that no input looks up are kept all the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from fetcher.verify import ProbeRequest
from fetcher.verify.contract.context import Context
from fetcher.verify.contract.exhibits import Fingerprint, fingerprints_of
from fetcher.verify.contract.fingerprints import difference
from fetcher.verify.loaders import embedding_rows


class Net(torch.nn.Module):  # type: ignore[misc]
    """Words, the same ones once more on the way out, and a codebook that is none of torch's."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words = torch.nn.Embedding(300, 8)
        self.again = torch.nn.Embedding(300, 8)
        self.again.weight = self.words.weight
        self.places = torch.nn.EmbeddingBag(20, 2000)
        self.register_buffer("codebook", torch.randn(1, 64, 4))


def kept(model: torch.nn.Module) -> Fingerprint:
    told: list[Any] = []
    made = ProbeRequest("m", "class", Path.cwd(), {}, {}, device="cpu")
    embedding_rows.keep(model, Context(made, told.append, Path()), "net.pt: ")
    (found,) = fingerprints_of(told)
    return found


def test_each_row_counts_once() -> None:
    found = kept(Net())
    assert (found.name, found.shape) == ("net.pt: rows of embeddings", (300 + 20 + 64,))
    assert difference(found, kept(Net()), "float32") == ""


def test_a_row_of_any_table_is_seen() -> None:
    for name, row in (("words.weight", 7), ("places.weight", 19), ("codebook", 63)):
        other = Net()
        other.state_dict()[name].view(-1, other.state_dict()[name].shape[-1])[row] *= 0.5
        assert difference(kept(Net()), kept(other), "float32"), name


def test_other_number_types_are_the_same() -> None:
    for dtype, name in ((torch.bfloat16, "bfloat16"), (torch.float16, "float16")):
        assert difference(kept(Net()), kept(Net().to(dtype)), "float32", name) == ""


def test_nothing_is_kept_of_a_model_without_tables() -> None:
    told: list[Any] = []
    made = ProbeRequest("m", "class", Path.cwd(), {}, {}, device="cpu")
    embedding_rows.keep(torch.nn.Linear(2, 2), Context(made, told.append, Path()))
    assert not [one for one in told if one["event"] == "fingerprint"]
