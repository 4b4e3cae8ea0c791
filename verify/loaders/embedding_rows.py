"""Keeps what embeddings and codebooks hold.

An input looks a few of their rows up, and the others show in no answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fetcher.verify.contract import signs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fetcher.verify.contract.context import Context

_LABEL = "fetch rows of embeddings"
_PIECE = 1 << 24  # numbers that are taken as float32 at a time
# Of the rows' spread: the same rows give the same sums but for their order.
_APART = 2e-4
# What adapters put beside an embedding lies on its side.
_ADAPTED = "lora_embedding_A"
# Codebooks that are no embeddings of torch.
_CODEBOOKS = (".codebook", ".embed", ".codebooks", ".cluster_centers")


def keep(model: Any, context: Context, about: str = "") -> None:
    """Keep a sum with pseudorandom signs of every row of every embedding, in units of its table's
    root mean square; `about` stands before the fingerprint's name.
    """
    torch = context.require("torch")
    with torch.no_grad():
        found = [_rows(torch, table) for table in _tables(torch, model)]
    if found:
        context.fingerprint(f"{about}rows of embeddings", torch.cat(found), _APART)


def _tables(torch: Any, model: Any) -> Iterator[Any]:
    """Yield each table once, (rows, width): models use one in several places."""
    seen = set()
    kinds = (torch.nn.Embedding, torch.nn.EmbeddingBag)
    held = [module.weight for module in model.modules() if isinstance(module, kinds)]
    tensors = (*model.named_parameters(), *model.named_buffers())
    books = [one for name, one in tensors if f".{name}".endswith(_CODEBOOKS) and one.dim() > 1]
    held += [one.flatten(0, -2) for one in books]
    held += [one.T for name, one in model.named_parameters() if _ADAPTED in name]
    for table in held:
        usable = not table.is_meta and table.is_floating_point() and table.numel()
        if usable and table.dim() == 2 and table.data_ptr() not in seen:
            seen.add(table.data_ptr())
            yield table


def _rows(torch: Any, table: Any) -> Any:
    """Return a sum of each row of a table, float32 of shape (rows,), on the CPU."""
    width = table.shape[1]
    row = torch.tensor([one for (one,) in signs.signs(_LABEL, 1)])
    pattern = row.repeat(-(-width // signs.ROW))[:width].to(table.device)
    squares, sums = 0.0, []
    step = max(1, _PIECE // width)
    for start in range(0, len(table), step):
        piece = table[start : start + step].float()
        sums.append((piece @ pattern).cpu())
        squares += float(piece.square().mean()) * len(piece)
    size = (squares / len(table)) ** 0.5
    return torch.cat(sums) / max(size * width**0.5, 1e-12)
