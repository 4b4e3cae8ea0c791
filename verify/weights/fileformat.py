"""What a weight file really is, told from its first bytes, before anything loads it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fetcher.verify.contract.probe_errors import ProbeError

if TYPE_CHECKING:
    from pathlib import Path

SAFETENSORS = "safetensors"
TORCH_ZIP = "torch zip"
TORCH_PICKLE = "torch pickle"

NPZ = "zip of arrays"
NPY = "numpy array"
PICKLE = "pickle"

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")
_PICKLES = (".pkl", ".pickle", ".joblib")
ARRAY_SUFFIXES = (".npz", ".npy", *_PICKLES)  # weights where there is no file of the others

# Python 2's first way of pickling: a list or dict, or a class, written as text.
_TEXT_PICKLE = re.compile(rb"\((dp|lp)\d*\n|c[a-z_][\w.]*\n\w+\n")
# How gzip, zlib, bzip2, xz and lzma begin, by which joblib and others make pickles smaller.
PACKED = (b"\x1f\x8b", b"\x78", b"BZh", b"\xfd7zXZ", b"\x5d\x00\x00")
_TORCH_MAGIC = 0x1950A86A20F9469CFC6C.to_bytes(10, "little")  # what a torch file begins with
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_HEAD = 512
_FETCH_AGAIN = "remove the file and fetch the artifact again"


def identify(path: Path, name: str) -> str:
    """Return the format of the weight file at `path`; `name` is its path in the artifact.

    Raises ProbeError, with words of its own, for what is not weights: no file, an empty one, a web
    page, a Git LFS pointer, other text, and a format that the name denies.
    """
    if name.endswith(_PICKLES) and _TEXT_PICKLE.match(_head(path)):
        return PICKLE
    head = binary_head(path)
    found = _format(head, name)
    if found is None and len(head) < 9 and name.endswith(".safetensors"):
        return SAFETENSORS  # too short to tell; its reader says so
    if found is None:
        what = f"not a {_expected(name)}"
        raise ProbeError(f"{what}: it begins with {head[:8].hex(' ')}", _FETCH_AGAIN)
    if (found == SAFETENSORS) != name.endswith(".safetensors"):
        raise ProbeError(
            f"the name says {'.' + name.rpartition('.')[2]}, the content is a {found} file",
            "loaders go by the name: correct it in the layout, or the source in the manifest",
        )
    return found


def binary_head(path: Path) -> bytes:
    """Return the first bytes of a file that is no text.

    Raises ProbeError for no file, an empty one, a web page, a Git LFS pointer, and other text.
    """
    head = _head(path)
    if not head:
        raise ProbeError("the file is empty (0 bytes)", _FETCH_AGAIN)
    _refuse_text(head)
    return head


def _head(path: Path) -> bytes:
    if path.is_symlink() and not path.exists():
        raise ProbeError("the link leads to no file", "fetch all restores it")
    try:
        with path.open("rb") as stream:
            return stream.read(_HEAD)
    except FileNotFoundError:
        raise ProbeError(f"no file stands at {path}", "fetch all restores it") from None
    except OSError as error:
        raise ProbeError(f"the file cannot be read: {error.strerror or error}") from None


def _expected(name: str) -> str:
    if name.endswith(".safetensors"):
        return "safetensors file"
    return "file of arrays" if name.endswith(ARRAY_SUFFIXES) else "torch file"


def _format(head: bytes, name: str) -> str | None:
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")) and name.endswith(".npz"):
        return NPZ
    if head.startswith(b"PK\x03\x04"):
        return TORCH_ZIP
    if head.startswith(b"\x93NUMPY"):
        return NPY
    packed = name.endswith(_PICKLES) and head.startswith(PACKED)
    if packed or (
        name.endswith(_PICKLES) and head[:1] == b"\x80" and _TORCH_MAGIC not in head[:16]
    ):
        return PICKLE
    if head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05":
        return TORCH_PICKLE
    # The length of the header in 8 bytes, then its JSON.
    return SAFETENSORS if head[8:9] == b"{" else None


def _refuse_text(head: bytes) -> None:
    if head.startswith(_LFS_POINTER):
        raise ProbeError(
            "a Git LFS pointer, not the weights: the source gave the text that stands for them",
            "fetch from a source that follows LFS (type github or huggingface), or git lfs pull",
        )
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype", b"<html", b"<head", b"<?xml", b"<!--")):
        raise ProbeError(
            "a web page, not weights: most likely a sign-in or error page of the source",
            "open the source's link in a browser (it may have expired or ask for a login), "
            "then fetch again",
        )
    shown = head[:64]
    if all(byte in b"\t\r\n" or 32 <= byte < 127 for byte in shown):
        line = shown.decode("ascii").strip().splitlines()[0] if shown.strip() else ""
        raise ProbeError(f"text, not weights: {line!r}", _FETCH_AGAIN)
