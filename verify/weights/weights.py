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
from fetcher.verify.contract.dtypes import CODES
from fetcher.verify.contract.inert_globals import is_inert, is_numpy, present_name
from fetcher.verify.contract.probe_errors import ProbeError
from fetcher.verify.contract.releases import SAFE_TORCH, version
from fetcher.verify.weights import (
    arrays,
    exact,
    fileformat,
    finite,
    nested,
    plain_pickles,
    sketch,
    zero_tail,
)
from fetcher.verify.weights.safetensors_header import TensorEntry, read_header
from fetcher.verify.weights.stand_ins import stand_in, stand_ins

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from fetcher.verify.contract.context import Context
    from fetcher.verify.contract.foreign import Arguments, Tensors

_FETCH_AGAIN = "remove the file and fetch the artifact again"
_SHOWN_GLOBALS = 5
_ASKED_GLOBALS = 20  # more than anybody reads before they allow them
_SCRIPT = "torch.jit.load"  # what a person allows for a TorchScript archive


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

    @property
    def dtype(self) -> str:
        """Return the type that most floating-point numbers have, `float32` if there is none."""
        counted: dict[str, int] = {}
        for one in self.tensors.values():
            if "float" in one.dtype:
                counted[one.dtype] = counted.get(one.dtype, 0) + one.numbers
        return max(sorted(counted), key=lambda kind: counted[kind]) if counted else "float32"

    def count_nonfinite(self, name: str, device: str) -> int:
        """Return how many numbers of a tensor are NaN or infinite, computed on `device`."""
        raise NotImplementedError

    def sketch(self, name: str) -> list[float]:
        """Return a few numbers by which a tensor's values are known again (see sketch.py)."""
        raise NotImplementedError

    def checksum(self, name: str) -> exact.Checksum | None:
        """Return what tells a tensor's bits, None where sums with tolerance do (see exact.py)."""
        raise NotImplementedError

    def keep(self, context: Context, title: str, names: Mapping[str, str] | None = None) -> None:
        """Keep all values for later runs; `names` leads from other names to the file's."""
        wanted = {name: name for name in self.tensors} if names is None else names
        with context.timed("check_seconds"):
            found = {short: self.sketch(name) for short, name in wanted.items()}
            bits = {short: self.checksum(name) for short, name in wanted.items()}
        sketch.keep(context, f"{title}: weights", found)
        exact.keep(context, title, bits)

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
    if kind in (fileformat.NPZ, fileformat.NPY):
        return _TorchFile(context.require("torch"), _arrays(path, kind), key, "")
    if kind == fileformat.PICKLE:
        return _open_pickle(context, path, key)
    return _open_torch(context, path, kind, key)


def _is_tiny(entry: TensorEntry) -> bool:
    """Tell whether a tensor's numbers are of four or six bits."""
    return CODES[entry.code][1] < 8


def _open_safetensors(context: Context, path: Path) -> WeightFile:
    entries = read_header(path)
    zero_tail.refuse(path, entries)
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
        self._path = path

    def count_nonfinite(self, name: str, device: str) -> int:
        if _is_tiny(self._entries[name]):
            return 0  # these types have neither NaN nor infinity, and torch no arithmetic
        try:
            tensor = self._file.get_tensor(name)
        except Exception as error:  # such as a type that this torch does not know
            raise ProbeError(f"safetensors cannot read {name}: {describe(error)}") from error
        return finite.count_in_tensor(self._torch, tensor, device)

    def sketch(self, name: str) -> list[float]:
        entry = self._entries[name]
        if _is_tiny(entry):  # their bits, for want of arithmetic
            return sketch.of_bytes(self._path, entry.begin, entry.end)
        return sketch.of_blocks(sketch.of_tensor(self._torch, self._file.get_tensor(name)))

    def checksum(self, name: str) -> exact.Checksum | None:
        entry = self._entries[name]
        if _is_tiny(entry):
            return exact.of_bytes(self._path, entry.begin, entry.end, entry.dtype)
        if not exact.is_exact(entry.dtype):
            return None
        return exact.of_tensor(self._torch, self._file.get_tensor(name))

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

    def sketch(self, name: str) -> list[float]:
        entry = self._entries[name]
        data = self._bytes[entry.begin : entry.end]
        return sketch.of_blocks(sketch.of_buffer(self._numpy, data, entry.dtype))

    def checksum(self, name: str) -> exact.Checksum | None:
        entry = self._entries[name]
        return exact.of_buffer(self._numpy, self._bytes[entry.begin : entry.end], entry.dtype)

    def load(self, names: Iterable[str]) -> Tensors:
        lacking = [name for name in ("torch", "safetensors") if not self._context.has(name)]
        raise missing(lacking, lacking)


class _TorchFile(WeightFile):
    def __init__(self, torch: Any, content: Any, key: str, note: str) -> None:
        def is_torch(value: Any) -> bool:
            return isinstance(value, torch.Tensor)

        def is_tensor(value: Any) -> bool:
            return is_torch(value) or (isinstance(value, arrays.Array) and value.is_numbers)

        content = _with_state_dicts(torch, content)
        part = nested.descend(content, key, is_tensor) if key else content
        self._torch = torch
        # Beside tensors, arrays are what a trainer noted: its random state, or means of the data.
        self._found = dict(nested.tensors(part, is_torch)) or {
            name: _as_tensor(torch, name, value) for name, value in nested.tensors(part, is_tensor)
        }
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

    def sketch(self, name: str) -> list[float]:
        return sketch.of_blocks(sketch.of_tensor(self._torch, self._found[name]))

    def checksum(self, name: str) -> exact.Checksum | None:
        return exact.of_tensor(self._torch, self._found[name])

    def load(self, names: Iterable[str]) -> Tensors:
        return {name: self._found[name] for name in names}

    def nested_below(self) -> tuple[str, ...]:
        return self._mappings


def _with_state_dicts(torch: Any, content: Any) -> Any:
    """Return what a file holds, with the state dict in place of each whole module."""
    if isinstance(content, torch.nn.Module):
        return content.state_dict()
    if type(content) is dict and any(isinstance(v, torch.nn.Module) for v in content.values()):
        return {name: _with_state_dicts(torch, value) for name, value in content.items()}
    return content


def _as_tensor(torch: Any, name: str, array: arrays.Array) -> Any:
    try:
        return array.tensor(torch)
    except (ValueError, TypeError, AttributeError) as error:  # the last: an older torch's types
        raise ProbeError(f"{name} cannot be read: {error}", _FETCH_AGAIN) from None


def _arrays(path: Path, kind: str) -> Any:
    """Return the arrays of a .npz by name, or that of a .npy. Raises ProbeError."""
    try:
        if kind == fileformat.NPY:
            lone = _numbers(arrays.from_npy(path.read_bytes()), path.name)
            _refuse_strange({path.name: lone})
            return lone
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(".npy")]
            found = {n[:-4]: _numbers(arrays.from_npy(archive.read(n)), n) for n in names}
        _refuse_strange(found)
        return found
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ProbeError(f"the archive cannot be read: {describe(error)}", _FETCH_AGAIN) from None
    except (OSError, ValueError) as error:
        raise ProbeError(f"an array cannot be read: {error}", _FETCH_AGAIN) from None


def _numbers(array: arrays.Array, name: str) -> arrays.Array:
    if array.dtype.code.startswith("O"):
        raise ProbeError(
            f"refused: {name} holds pickled objects, and nothing of them was run",
            "save arrays of numbers alone",
        )
    return array


def _refuse_strange(found: Mapping[str, arrays.Array]) -> None:
    """Raise ProbeError for arrays of which none is of a type that torch has."""
    strange = {name: one.dtype.code for name, one in found.items() if not one.is_numbers}
    if strange and len(strange) == len(found):
        name, code = next(iter(strange.items()))
        raise ProbeError(
            f"{name} is of a type that torch has not: {code or 'fields of several types'}",
            "save it as another type, such as float64; one array for each field",
        )


def _open_pickle(context: Context, path: Path, key: str) -> WeightFile:
    """Read what Python, numpy or joblib pickled. Raises ProbeError, also for what it refuses."""
    torch = context.require("torch")
    own, plain = _let_through(context, path)

    def allowed(name: str) -> Any:
        if name in own:
            return _imported(name)
        return stand_in(name) if name in plain else None

    try:
        content = plain_pickles.load(path, torch, allowed)
    except plain_pickles.RefusedGlobalError as error:
        wanted = {*pickles.wanted_globals(path), str(error)}
        refused = sorted(name for name in wanted if not plain_pickles.is_known(present_name(name)))
        raise _refusal(path, refused, own, plain) from None
    except ProbeError:
        raise
    except Exception as error:  # a broken pickle fails in many ways
        size = path.stat().st_size
        raise ProbeError(
            f"the pickle cannot be read: {describe(error)} ({size:,} bytes; it may be truncated "
            "or damaged)",
            _FETCH_AGAIN,
        ) from error
    return _TorchFile(torch, content, key, "")


def _open_torch(context: Context, path: Path, kind: str, key: str) -> WeightFile:
    note, can_map = _check_archive(path) if kind == fileformat.TORCH_ZIP else ("", False)
    torch = context.require("torch")
    if can_map is None:
        return _open_script(context, path, key)
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
        of_numpy = {name for name in refused if is_numpy(name)}
        named = [name for name in refused if name not in of_numpy]
        if not set(named) <= own | plain:
            raise _refusal(path, named, own, plain) from error
        content = _load_with(torch, path, how, refused, own)
        told = [f"let through: {', '.join(named)}"] if named else []
        note = "; ".join([*filter(None, [note]), *told])
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


def _open_script(context: Context, path: Path, key: str) -> WeightFile:
    """Read a TorchScript archive's tensors: its code may run meanwhile, so a person must say so."""
    torch = context.require("torch")
    digest = sha256(path)
    if _SCRIPT not in context.allowed_globals.get(digest, ()):
        raise ProbeError(
            "refused: a TorchScript archive: it holds code, and nothing of it was run",
            "save the model's state_dict instead; or, if you trust whoever made this file: "
            f"fetch config allow pickles {digest} {_SCRIPT}",
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = dict(torch.jit.load(str(path), map_location="cpu").state_dict())
    except Exception as error:
        raise _unloadable(path, error) from error
    return _TorchFile(torch, content, key, "TorchScript")


def _check_archive(path: Path) -> tuple[str, bool | None]:
    """Check a torch file's zip container, and return a note and whether it can be mapped; None of
    a TorchScript archive.

    torch reads records without looking at their checksums, so a flipped bit would go unseen.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            names = [member.filename for member in members]
            if any(name.rpartition("/")[2] == "extern_modules" for name in names):
                raise ProbeError(
                    "refused: a torch.package: it holds code of Python",
                    "save the model's state_dict instead",
                )
            script = any(map(_is_code, names))
            stored = all(m.compress_type == zipfile.ZIP_STORED for m in members)
            # What torch writes with set_crc32_options(False).
            if not any(m.CRC for m in members):
                return "saved without checksums", None if script else stored
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
    return "", None if script else stored


def _is_code(member: str) -> bool:
    """Tell whether a member is one by which torch takes an archive for TorchScript."""
    return "/code/" in member or member.rpartition("/")[2] == "constants.pkl"


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
        found.append((_imported(name), present_name(name)))
    try:
        with torch.serialization.safe_globals(found):
            return _load(torch, path, how)
    except Exception as error:
        raise ProbeError(
            f"torch does not load it even with {', '.join(names)}: {describe(error)}",
            "use a file that holds the state_dict alone, best .safetensors",
        ) from error


def _imported(name: str) -> Any:
    """Import a global that the person allows."""
    module, _, attribute = present_name(name).rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ProbeError(f"{name} is allowed, but not there: {describe(error)}") from error


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
