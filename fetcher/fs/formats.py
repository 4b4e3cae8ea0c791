"""What a file's name promises of its bytes: magic numbers, and ends that must be there.

Only formats that say by themselves what they are. A file that begins as its name says and is cut
off is told as well, where the format knows its own size.
"""

from __future__ import annotations

import io
import json
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from fetcher.fs.sniff import HEAD
from fetcher.fs.text import text_of
from fetcher.i18n import t
from fetcher.verify.contract import json_text

_TAIL = (64 << 10) + 64  # where a zip's directory ends, whatever comment follows
_LARGEST_HEADER = 32 << 20
_LONGEST_NPY_HEADER = 1 << 20
_LARGEST_JSON = json_text.SMALL  # that is parsed

ZIP = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_GZIP, _BZIP2, _XZ, _7Z = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"7z\xbc\xaf\x27\x1c"
_HDF5, _PNG, _PARQUET = b"\x89HDF\r\n\x1a\n", b"\x89PNG\r\n\x1a\n", b"PAR1"
_PICKLE = tuple(bytes((0x80, protocol)) for protocol in range(2, 6))
_ZSTD = (b"\x28\xb5\x2f\xfd", *(bytes((n, 0x2A, 0x4D, 0x18)) for n in range(0x50, 0x60)))
_PACKED = (
    *ZIP, _GZIP, _BZIP2, _XZ, _7Z, *_ZSTD, b"Rar!", b"\x04\x22\x4d\x18", b"]\x00\x00", b"\x1f\x9d",
    b"\x02\x21\x4c\x18",
)  # fmt: skip
_ZLIB = (b"x\x01", b"x\x5e", b"x\x9c", b"x\xda")
_IMAGES = (
    _PNG, b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"BM", b"II*\x00", b"MM\x00*", b"II+\x00",
    b"MM\x00+", b"\x00\x00\x01\x00", b"\xff\x0a", b"\x00\x00\x00\x0cJXL ", b"\x00\x00\x00\x0cjP  ",
    b"\xff\x4f\xff\x51", b"8BPS", b"qoif", b"DDS ", b"\x76\x2f\x31\x01", b"P1", b"P2", b"P3",
    b"P4", b"P5", b"P6", b"P7", b"Pf", b"PF", b"#?RADIANCE",
)  # fmt: skip


@dataclass
class Body:
    """The bytes of a whole file; `size` in bytes. What is read beyond its end is empty."""

    stream: BinaryIO
    size: int

    @classmethod
    def of(cls, data: bytes) -> Body:
        """A body in memory."""
        return cls(io.BytesIO(data), len(data))

    def read(self, at: int, length: int) -> bytes:
        """So many bytes from `at` on; from the end where `at` is negative. Raises OSError."""
        self.stream.seek(max(0, self.size + at) if at < 0 else at)
        return self.stream.read(length)


# What is wrong: bytes of something else, or the beginning of the right thing without its end.
OTHER, CUT, FITS = "other", "cut", ""
_Check = Callable[[Body, bytes], str]


@dataclass(frozen=True)
class Promise:
    """What a suffix promises: the format's name, and what judges a whole body (OTHER, CUT, FITS).

    `suits` looks at 4 KiB or more of a body's beginning alone.
    """

    format: str
    suits: Callable[[bytes], bool]
    check: _Check = lambda _body, _head: FITS


def promise_of(name: str) -> Promise | None:
    """What a name promises, None where it may hold anything."""
    lower = name.lower().rpartition("/")[2]
    if lower.endswith(".pth.tar"):
        return _TORCH
    return _PROMISES.get("." + lower.rpartition(".")[2]) if "." in lower else None


def begins_as_named(head: bytes, name: str) -> bool:
    """Whether a name promises a format, and a body that begins with `head` is in it."""
    promise = promise_of(name)
    return promise is not None and promise.suits(head)


def start_complaint(head: bytes, name: str) -> str:
    """What is wrong with the beginning (4 KiB or more) of `name`, or ""."""
    promise = promise_of(name)
    return "" if promise is None or promise.suits(head) else _other(head, promise)


def format_complaint(body: Body, name: str) -> str:
    """What is wrong with a whole body under this name, or "". Raises OSError."""
    promise = promise_of(name)
    head = body.read(0, HEAD)
    if promise is None:
        cut = name.lower().endswith((".bin", ".ckpt")) and head.startswith(ZIP[0])
        promise = _ZIP if cut else None
    if promise is None:
        return ""
    if not body.size:
        return t("an empty file, not one in {format} format", format=promise.format)
    if not promise.suits(head):
        return _other(head, promise)
    found = promise.check(body, head)
    if found == CUT:
        return t("a file in {format} format that is cut off", format=promise.format)
    return _other(head, promise) if found == OTHER else ""


def _other(head: bytes, promise: Promise) -> str:
    format_ = promise.format
    text = text_of(head)
    if text is not None:
        line = " ".join(text.split())[:60]
        return t("text ({line!r}), not a file in {format} format", line=line, format=format_)
    known = next((kind for kind, magics in _KNOWN if head.startswith(magics)), "")
    if known:
        return t("{known}, not a file in {format} format", known=known, format=format_)
    return t(
        "bytes that begin with {start}, not a file in {format} format",
        format=format_,
        start=head[:8].hex(" ") or "-",
    )


_KNOWN: tuple[tuple[str, tuple[bytes, ...]], ...] = (
    ("gzip", (_GZIP,)),
    ("zip", ZIP),
    ("pickle", _PICKLE),
    ("GGUF", (b"GGUF",)),
    ("HDF5", (_HDF5,)),
    ("PDF", (b"%PDF-",)),
    ("PNG", (_PNG,)),
    ("JPEG", (b"\xff\xd8\xff",)),
    ("GIF", (b"GIF8",)),
    ("zstd", _ZSTD),
    ("xz", (_XZ,)),
    ("bzip2", (_BZIP2,)),
)


# Weights


def _safetensors_start(head: bytes) -> bool:
    length = int.from_bytes(head[:8], "little")
    return len(head) >= 10 and 2 <= length <= 100_000_000 and head[8:9] == b"{"


def _safetensors(body: Body, head: bytes) -> str:
    """The header is sound JSON, and the tensors that it lists end where the file does."""
    length = int.from_bytes(head[:8], "little")
    if 8 + length > body.size:
        return CUT
    if length > _LARGEST_HEADER:
        return FITS
    try:
        ends = [
            int(entry["data_offsets"][1])
            for name, entry in json_text.loads(body.read(8, length)).items()
            if name != "__metadata__"
        ]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        return OTHER
    end = 8 + length + max(ends, default=0)
    return CUT if end > body.size else OTHER if end < body.size else FITS


def _gguf_start(head: bytes) -> bool:
    if not head.startswith(b"GGUF") or len(head) < 8:
        return False
    return any(0 < struct.unpack(order + "I", head[4:8])[0] < 100 for order in "<>")


def _gguf(body: Body, _head: bytes) -> str:
    return FITS if body.size >= 24 else CUT


def _torch_start(head: bytes) -> bool:
    known = head.startswith((*ZIP, *_PICKLE, _HDF5, b"GGUF"))
    return known or _safetensors_start(head) or _tar_start(head) or _may_be_plain_pickle(head)


def _torch(body: Body, head: bytes) -> str:
    if head.startswith(ZIP):
        return _zip(body, head)
    if _safetensors_start(head):
        return _safetensors(body, head)
    return _plain_pickle(body, head)


def _pickle_start(head: bytes) -> bool:
    packed = head.startswith((*_PICKLE, *_PACKED, *_ZLIB))
    return packed or _may_be_plain_pickle(head)


def _may_be_plain_pickle(head: bytes) -> bool:
    """Whether it can be a pickle of protocol 0 or 1, which begins with any of many letters."""
    return head[:1] in _FIRST_OPCODES


_FIRST_OPCODES = tuple(bytes((code,)) for code in b"(]})cIFNVSULMKJGTXBCPi")


def _plain_pickle(body: Body, head: bytes) -> str:
    if head.startswith((*_PICKLE, *_PACKED, *_ZLIB, _HDF5, b"GGUF")) or _tar_start(head):
        return FITS
    import pickletools

    try:
        for opcode, _, _ in pickletools.genops(io.BytesIO(head)):
            if opcode.name == "STOP":
                return FITS
    except Exception:  # whatever it makes of bytes that are no pickle, or of one that goes on
        return FITS if body.size > len(head) else OTHER
    return OTHER


# Archives


def _zip(body: Body, _head: bytes) -> str:
    """The directory is there, and the members that it counts lie before it."""
    tail = body.read(-_TAIL, _TAIL)
    at = len(tail)
    # A comment may hold the signature as well: any that ends where the file does will do.
    while (at := tail.rfind(b"PK\x05\x06", 0, at)) >= 0:
        if _ends_zip(tail, at, body.size):
            return FITS
    return CUT


def _ends_zip(tail: bytes, at: int, size: int) -> bool:
    """Whether the record at `at` of the file's last bytes is the end of a whole archive."""
    if len(tail) < at + 22:
        return False
    disk, _, _, _, length, offset, comment = struct.unpack("<4H2LH", tail[at + 4 : at + 22])
    if at + 22 + comment > len(tail):
        return False
    end = size - len(tail) + at
    return bool(0xFFFFFFFF in (length, offset) or disk or offset + length <= end)


def _is_zip(head: bytes) -> bool:
    """Also behind a program that unpacks or runs it; its directory is looked for at the end."""
    return head.startswith((*ZIP, b"MZ", b"#!"))


def _tar_start(head: bytes) -> bool:
    """A tar's first header: by its magic, or (as of old) by its sum alone."""
    if len(head) < 512:
        return False
    if head[257:262] == b"ustar":
        return True
    digits = re.fullmatch(rb"[ 0]*([0-7]{1,7})[\0 ]*", head[148:156])
    own = sum(head[:148]) + sum(head[156:512]) + 8 * 32
    return digits is not None and int(digits[1], 8) == own


def _archive_start(head: bytes) -> bool:
    return head.startswith(_PACKED) or _tar_start(head)


def _archive(body: Body, head: bytes) -> str:
    if head.startswith(ZIP):
        return _zip(body, head)
    if head.startswith(_7Z) and len(head) >= 32:
        offset, size = struct.unpack("<QQ", head[12:28])
        return CUT if 32 + offset + size > body.size else FITS
    if head.startswith(_XZ):
        return FITS if body.read(-_TAIL, _TAIL).rstrip(b"\0").endswith(b"YZ") else CUT
    return FITS


# Arrays, tables, graphs


def _hdf5_start(head: bytes) -> bool:
    return any(head.startswith(_HDF5, at) for at in (0, 512, 1024, 2048))


def _hdf5(body: Body, head: bytes) -> str:
    """The first block says where the file ends."""
    if not head.startswith(_HDF5) or len(head) < 48:
        return FITS if len(head) >= 48 else CUT
    version, width = head[8], head[13] if head[8] < 2 else head[9]
    if width != 8:
        return FITS
    at = (40, 44, 28)[min(version, 2)]
    end = int.from_bytes(head[at : at + 8], "little")
    return CUT if body.size < end < 1 << 63 else FITS


def _keras_start(head: bytes) -> bool:
    return head.startswith(ZIP) or _hdf5_start(head)


def _keras(body: Body, head: bytes) -> str:
    return _zip(body, head) if head.startswith(ZIP) else _hdf5(body, head)


def _npy(body: Body, head: bytes) -> str:
    """The header's shape and item size tell how long the file is; objects are pickled."""
    wide = head[6:7] >= b"\x02"
    length = int.from_bytes(head[8 : 12 if wide else 10], "little")
    start = (12 if wide else 10) + length
    if start > body.size:
        return CUT
    if length > _LONGEST_NPY_HEADER:
        return OTHER
    text = body.read(start - length, length).decode("latin-1")
    kind = re.search(r"'descr': '[<>|=]?([a-zA-Z])(\d+)(?:\[\w+\])?'", text)
    shape = re.search(r"'shape': \(([\d, ]*)\)", text)
    if kind is None or shape is None or kind[1] == "O":
        return FITS
    count = 1
    for item in filter(None, (part.strip() for part in shape[1].split(","))):
        count *= int(item)
    return CUT if start + count * int(kind[2]) * (4 if kind[1] == "U" else 1) > body.size else FITS


def _parquet(body: Body, _head: bytes) -> str:
    return FITS if body.size >= 12 and body.read(-4, 4) in {_PARQUET, b"PARE"} else CUT


def _protobuf_start(head: bytes) -> bool:
    """Fields one after the other, as far as the beginning tells, and no text."""
    return text_of(head[:4096]) is None and _fields_are_sound(head)


def _fields_are_sound(head: bytes) -> bool:
    at = 0
    for _ in range(8):
        if at >= len(head):
            return at > 0
        key, at = _varint(head, at)
        kind, number = key & 7, key >> 3
        if not number or kind in {3, 4, 6, 7}:
            return False
        if kind == 0:
            _, at = _varint(head, at)
        elif kind == 2:
            length, at = _varint(head, at)
            at += length
        else:
            at += 8 if kind == 1 else 4
    return True


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        value |= (byte & 127) << shift
        at += 1
        if byte < 128:
            break
    return value, at


# Pictures


def _image_start(head: bytes) -> bool:
    riff = head.startswith(b"RIFF") and head[8:12] == b"WEBP"
    return riff or head[4:8] == b"ftyp" or head.startswith(_IMAGES)


def _image(body: Body, head: bytes) -> str:
    if head.startswith(_PNG):
        return FITS if b"IEND" in body.read(-_TAIL, _TAIL) else CUT
    if head.startswith(b"RIFF"):
        return CUT if 8 + int.from_bytes(head[4:8], "little") > body.size + 1 else FITS
    # Two letters do not tell a picture from a word.
    return OTHER if text_of(head) is not None and head[:1] not in b"P#" else FITS


# JSON, and what is only known to be no text


_JSON_START = re.compile(
    r"\s*(?:[{\[\"]|//|/\*|(?:true|false|null|NaN|-?Infinity|-?\d[\d.eE+-]*)\s*(?:\Z|\n))"
)


def _json_start(head: bytes) -> bool:
    text = text_of(head)
    return text is not None and bool(_JSON_START.match(text))


def _json(body: Body, head: bytes) -> str:
    """Whether it goes on to its end; what else parsers of their own take is theirs to judge."""
    if body.size > _LARGEST_JSON:
        end = (text_of(body.read(-512, 512)) or "").rstrip()
        opened = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in {b"{", b"["}
        return CUT if opened and end[-1:] in {",", ":", "[", "{"} else FITS
    text = text_of(body.read(0, body.size))
    if text is None:
        return FITS
    text = text.rstrip()
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return CUT if error.pos >= len(text) or error.msg.startswith("Unterminated") else FITS
    except (ValueError, RecursionError):
        pass
    return FITS


def _is_no_text(head: bytes) -> bool:
    return text_of(head) is None


_TORCH = Promise("PyTorch", _torch_start, _torch)
_ZIP = Promise("zip", _is_zip, _zip)
_ARCHIVE = Promise("archive", _archive_start, _archive)
_IMAGE = Promise("image", _image_start, _image)
_PICKLED = Promise("pickle", _pickle_start, _plain_pickle)
_HDF = Promise("HDF5", _hdf5_start, _hdf5)
_BINARY = Promise("binary", _is_no_text)
_JSON = Promise("JSON", _json_start, _json)


def _starts_with(*magics: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(magics)


_FAMILIES: tuple[tuple[Promise, str], ...] = (
    (Promise("safetensors", _safetensors_start, _safetensors), "safetensors"),
    (Promise("GGUF", _gguf_start, _gguf), "gguf"),
    (_TORCH, "pt pth"),
    (_ZIP, "zip npz whl jar egg pt2 ptl docx xlsx pptx"),
    (_ARCHIVE, "tar tgz tbz tbz2 txz tzst gz bz2 xz zst 7z rar lzma lz4"),
    (_IMAGE, "png jpg jpeg jpe webp gif bmp tif tiff avif heic jxl jp2 ico ppm pgm pbm pnm"),
    (_PICKLED, "pkl pickle joblib"),
    (_HDF, "h5 hdf5"),
    (Promise("Keras", _keras_start, _keras), "keras"),
    (Promise("NumPy", _starts_with(b"\x93NUMPY"), _npy), "npy"),
    (Promise("Parquet", _starts_with(_PARQUET, b"PARE"), _parquet), "parquet"),
    (Promise("TensorFlow Lite", lambda head: head[4:8] == b"TFL3"), "tflite"),
    (Promise("ONNX", _protobuf_start), "onnx"),
    (Promise("PDF", lambda head: b"%PDF-" in head[:1024]), "pdf"),
    (_JSON, "json ipynb geojson"),
    (
        _BINARY,
        "arrow feather pb tfrecord tfrecords msgpack engine trt plan caffemodel mlmodel pdparams "
        "pdiparams pdopt ggml mnn ncnn rknn spm wav flac mp3 ogg opus m4a aac mp4 mkv webm avi mov "
        "ttf otf woff woff2 so dll dylib exe sqlite sqlite3 mdb lmdb npraw ot",
    ),
)
_PROMISES = {
    f".{suffix}": promise for promise, suffixes in _FAMILIES for suffix in suffixes.split()
}
