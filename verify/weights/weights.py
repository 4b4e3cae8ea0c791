"""Opens weight files safely and without reading more than is used, whatever their format.

Nothing here executes what a file holds: safetensors has no code, torch files are loaded with
`weights_only=True`. Plain data that the manifest names for exactly this file, by its sha256, is
replaced by what does nothing. Anything else is refused but for the person's own word.
"""

from __future__ import annotations

import hashlib
import importlib
import mmap
import shlex
import warnings
import zipfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fetcher.verify.contract import pickles
from fetcher.verify.contract.context import describe, missing
from fetcher.verify.contract.inert_globals import is_inert, present_name
from fetcher.verify.contract.probe_errors import ProbeError
from fetcher.verify.contract.releases import SAFE_TORCH, version
from fetcher.verify.weights import fileformat, finite, nested
from fetcher.verify.weights.safetensors_header import TensorEntry, read_header
from fetcher.verify.weights.stand_ins import stand_ins

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from fetcher.verify.contract.context import Context
    from fetcher.verify.contract.foreign import Arguments, Tensors

_FETCH_AGAIN = "remove the file and fetch the artifact again"
_SHOWN_GLOBALS = 5
_ASKED_GLOBALS = 20  # more than anybody reads before they allow them
_CODE_MEMBERS = ("constants.pkl", "extern_modules")


@dataclass(frozen=True)
class TensorInfo:
    """A tensor's element type by torch's name, such as `bfloat16`, and its shape."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def numbers(self) -> int:
        """Return how many elements it has."""
        total = 1
        for size in self.shape:
            total *= size
        return total


class WeightFile:
    """An open weight file: `tensors` by name; `note` is said about the file where it is shown."""

    def __init__(self, tensors: Mapping[str, TensorInfo], note: str = "") -> None:
        self.tensors = tensors
        self.note = note

    def count_nonfinite(self, name: str, device: str) -> int:
        """Return how many numbers of a tensor are NaN or infinite, computed on `device`."""
        raise NotImplementedError

    def load(self, names: Iterable[str]) -> Tensors:
        """Return tensors by name, on the CPU; where the file is mapped they are read when used."""
        raise NotImplementedError

    def nested_below(self) -> tuple[str, ...]:
        """Return the names that hold all tensors, where the file is a dict of state dicts."""
        return ()


def open_weights(context: Context, path: Path, name: str, key: str = "") -> WeightFile:
    """Open a weight file; `name` is its path in the artifact, `key` leads to a nested state dict.

    `key` is for torch files; safetensors are flat. Raises ProbeError for a file that is not what
    it should be, is damaged, or wants more than tensors, and MissingLibraryError.
    """
    kind = fileformat.identify(path, name)
    if kind == fileformat.SAFETENSORS:
        return _open_safetensors(context, path)
    return _open_torch(context, path, kind, key)


def _open_safetensors(context: Context, path: Path) -> WeightFile:
    entries = read_header(path)
    if context.has("torch") and context.has("safetensors"):
        return _SafetensorsFile(context, path, entries)
    if context.has("numpy") and context.device() == "cpu":
        return _MappedFile(context, path, entries)
    if context.has("torch") or context.device() != "cpu":
        raise missing(["safetensors"], ["safetensors"])
    raise missing(["torch (or numpy)"], ["safetensors", "torch"])


class _SafetensorsFile(WeightFile):
    """Read through the safetensors library, which maps the file."""

    def __init__(self, context: Context, path: Path, entries: Mapping[str, TensorEntry]) -> None:
        super().__init__({name: TensorInfo(e.dtype, e.shape) for name, e in entries.items()})
        self._torch = context.require("torch")
        library = context.require("safetensors")
        try:
            self._file = library.safe_open(str(path), framework="pt", device="cpu")
        except Exception as error:
            raise ProbeError(f"safetensors cannot open it: {describe(error)}") from error
        self._entries = entries

    def count_nonfinite(self, name: str, device: str) -> int:
        if self._entries[name].code.startswith(("F4", "F6")):
            return 0  # these types have neither NaN nor infinity, and torch no arithmetic
        try:
            tensor = self._file.get_tensor(name)
        except Exception as error:  # such as a type that this torch does not know
            raise ProbeError(f"safetensors cannot read {name}: {describe(error)}") from error
        return finite.count_in_tensor(self._torch, tensor, device)

    def load(self, names: Iterable[str]) -> Tensors:
        return {name: self._file.get_tensor(name) for name in names}


class _MappedFile(WeightFile):
    """Read without torch: the bytes are mapped and numpy looks at their bits."""

    def __init__(self, context: Context, path: Path, entries: Mapping[str, TensorEntry]) -> None:
        super().__init__({name: TensorInfo(e.dtype, e.shape) for name, e in entries.items()})
        self._context = context
        self._numpy = context.require("numpy")
        self._entries = entries
        with path.open("rb") as stream:
            self._bytes = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))

    def count_nonfinite(self, name: str, device: str) -> int:
        entry = self._entries[name]
        return finite.count_in_bytes(self._numpy, self._bytes[entry.begin : entry.end], entry.dtype)

    def load(self, names: Iterable[str]) -> Tensors:
        lacking = [name for name in ("torch", "safetensors") if not self._context.has(name)]
        raise missing(lacking, lacking)


class _TorchFile(WeightFile):
    def __init__(self, torch: Any, content: Any, key: str, note: str) -> None:
        def is_tensor(value: Any) -> bool:
            return isinstance(value, torch.Tensor)

        part = nested.descend(content, key, is_tensor) if key else content
        self._torch = torch
        self._found = dict(nested.tensors(part, is_tensor))
        self._mappings: tuple[str, ...] = ()
        if isinstance(part, dict) and not any(is_tensor(value) for value in part.values()):
            self._mappings = tuple(str(k) for k, value in part.items() if isinstance(value, dict))
        super().__init__(
            {
                name: TensorInfo(str(tensor.dtype).replace("torch.", ""), tuple(tensor.shape))
                for name, tensor in self._found.items()
            },
            note,
        )

    def count_nonfinite(self, name: str, device: str) -> int:
        tensor = self._found[name]
        if tensor.layout != self._torch.strided:
            tensor = tensor.coalesce().values() if tensor.is_sparse else tensor.to_dense()
        if tensor.is_quantized or tensor.is_meta:
            return 0  # integers, and tensors without data
        return finite.count_in_tensor(self._torch, tensor, device)

    def load(self, names: Iterable[str]) -> Tensors:
        return {name: self._found[name] for name in names}

    def nested_below(self) -> tuple[str, ...]:
        return self._mappings


def _open_torch(context: Context, path: Path, kind: str, key: str) -> WeightFile:
    note, can_map = _check_archive(path) if kind == fileformat.TORCH_ZIP else ("", False)
    torch = context.require("torch")
    if version(torch) < SAFE_TORCH:
        raise ProbeError(
            f"torch {torch.__version__} has no safe way to load a pickle",
            "upgrade to torch 2.6 or newer, or use a .safetensors file",
        )
    how: Arguments = {"map_location": "cpu", "weights_only": True}
    if can_map:
        how["mmap"] = True
    try:
        content = _load(torch, path, how)
    except Exception as error:
        refused = _refused(torch, path)
        if not refused:
            raise _unloadable(path, error) from error
        own, plain = _let_through(context, path)
        if not set(refused) <= own | plain:
            raise _refusal(path, refused, own, plain) from error
        content = _load_with(torch, path, how, refused, own)
        note = "; ".join([*filter(None, [note]), f"let through: {', '.join(refused)}"])
    return _TorchFile(torch, content, key, note)


def _let_through(context: Context, path: Path) -> tuple[set[str], set[str]]:
    """Return the globals that the person allows for this file, and the plain data of the manifest.

    A manifest may name what it likes: by itself only what is plain data counts.
    """
    if not context.allowed_globals and not context.named_globals:
        return set(), set()
    digest = sha256(path)
    named = context.named_globals.get(digest, ())
    return set(context.allowed_globals.get(digest, ())), set(filter(is_inert, named))


def _check_archive(path: Path) -> tuple[str, bool]:
    """Check a torch file's zip container, and return a note and whether it can be mapped.

    torch reads records without looking at their checksums, so a flipped bit would go unseen.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if any(_is_code(m.filename) for m in members):
                raise ProbeError(
                    "a TorchScript archive: it holds code, and this probe reads tensors only",
                    "save the model's state_dict instead",
                )
            stored = all(m.compress_type == zipfile.ZIP_STORED for m in members)
            # What torch writes with set_crc32_options(False).
            if not any(m.CRC for m in members):
                return "saved without checksums", stored
            damaged = archive.testzip()
    except zipfile.BadZipFile as error:
        told = str(error)
        if "not a zip file" in told:
            size = path.stat().st_size
            told = f"truncated: the archive's end is missing ({size:,} bytes are there)"
        raise ProbeError(told, _FETCH_AGAIN) from None
    except (zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError) as error:
        raise ProbeError(f"the archive cannot be read: {describe(error)}", _FETCH_AGAIN) from None
    if damaged is not None:
        raise ProbeError(f"damaged: the checksum of {damaged} does not match", _FETCH_AGAIN)
    return "", stored


def _is_code(member: str) -> bool:
    """Tell whether a member is one by which torch takes an archive for TorchScript or a package."""
    return "/code/" in member or member.rpartition("/")[2] in _CODE_MEMBERS


def _load(torch: Any, path: Path, how: Arguments) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.load(str(path), **how)


def _load_with(
    torch: Any, path: Path, how: Arguments, names: Sequence[str], own: Collection[str]
) -> Any:
    """Load a pickle that may use exactly these globals besides those of tensors.

    Those of `own` are imported, as the person allows; the others are plain data.
    """
    found = stand_ins([name for name in names if name not in own])
    for name in filter(own.__contains__, names):
        module, _, attribute = present_name(name).rpartition(".")
        try:
            real = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise ProbeError(f"{name} is allowed, but not there: {describe(error)}") from error
        found.append((real, present_name(name)))
    try:
        with torch.serialization.safe_globals(found):
            return _load(torch, path, how)
    except Exception as error:
        raise ProbeError(
            f"torch does not load it even with {', '.join(names)}: {describe(error)}",
            "use a file that holds the state_dict alone, best .safetensors",
        ) from error


def sha256(path: Path) -> str:
    """Return a file's digest, by which a person and a manifest name it. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for piece in iter(lambda: stream.read(1024 * 1024), b""):
            digest.update(piece)
    return digest.hexdigest()


def _refused(torch: Any, path: Path) -> list[str]:
    """Return the globals of a pickle that `weights_only` does not let through."""
    try:
        allowed = frozenset(torch._weights_only_unpickler._get_allowed_globals())
    except AttributeError:  # another torch; then our own list has to do
        allowed = frozenset()
    return [name for name in pickles.refused_globals(path) if name not in allowed]


def _refusal(
    path: Path, refused: Sequence[str], own: Collection[str], plain: Collection[str]
) -> ProbeError:
    shown = ", ".join(_printable(name[:80]) for name in refused[:_SHOWN_GLOBALS])
    more = ", …" if len(refused) > _SHOWN_GLOBALS else ""
    reason = f"refused: beside tensors the pickle asks for {shown}{more}"
    instead = "nothing of it was run; use a file that holds the state_dict alone, best .safetensors"
    digest = sha256(path)
    if all(is_inert(name) or name in own for name in refused):
        listed = ", ".join(sorted({*plain, *filter(is_inert, refused)}))
        return ProbeError(
            reason,
            f"{instead}; or, as these are plain data, name exactly these for exactly this file: "
            f"`probe: {{allow_globals: {{{digest}: [{listed}]}}}}`",
        )
    if len(refused) > _ASKED_GLOBALS or not all(pickles.may_be_allowed(name) for name in refused):
        return ProbeError(reason, instead)
    wanted = [name for name in refused if name not in own]
    return ProbeError(
        reason,
        f"{instead}; no manifest can allow that, as it runs code. If you trust whoever made this "
        f"file: fetch config allow pickles {digest} {' '.join(map(shlex.quote, wanted))}",
    )


def _printable(name: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in name)


def _unloadable(path: Path, error: Exception) -> ProbeError:
    return ProbeError(
        f"torch cannot load it: {describe(error)} ({path.stat().st_size:,} bytes; it may be "
        "truncated or damaged)",
        _FETCH_AGAIN,
    )
