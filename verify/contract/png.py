"""PNG with the standard library: written for pictures in reports, and checked before it is shown.

Read by both interpreters: syntax of Python 3.8.
"""

from __future__ import annotations

import struct
import zlib

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_COLOUR_TYPES = {1: 0, 3: 2, 4: 6}
_DEPTHS = (1, 2, 4, 8, 16)
MAX_SIDE = 4096  # pixels


class BadPictureError(ValueError):
    """The bytes are no PNG that may be shown; the message says why."""


def encode(pixels: bytes, width: int, height: int, channels: int) -> bytes:
    """Return a PNG of 8-bit pixels, row by row; 1 channel is grey, 3 are RGB, 4 are RGBA.

    Raises ValueError if the bytes are not width x height x channels.
    """
    if channels not in _COLOUR_TYPES or len(pixels) != width * height * channels or not pixels:
        raise ValueError(f"{len(pixels)} bytes are not {width} x {height} x {channels}")
    step = width * channels
    rows = b"".join(b"\0" + pixels[at : at + step] for at in range(0, len(pixels), step))
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPES[channels], 0, 0, 0)
    body = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 6)), (b"IEND", b""))
    return _SIGNATURE + b"".join(_chunk(name, data) for name, data in body)


def pixels(data: bytes) -> tuple[bytes, int, int]:
    """Return the RGB pixels, row by row, width and height of a PNG that `encode` wrote.

    Raises BadPictureError for any other.
    """
    plain, width, height = checked(data)
    rows = zlib.decompress(b"".join(body for name, body in _chunks(plain) if name == b"IDAT"))
    step = 1 + 3 * width
    if len(rows) != height * step or any(rows[::step]):
        raise BadPictureError("its rows are filtered, or not RGB of 8 bits")
    return b"".join(rows[at + 1 : at + step] for at in range(0, len(rows), step)), width, height


def checked(data: bytes) -> tuple[bytes, int, int]:
    """Return a PNG without what does not belong to its pixels, and its width and height.

    Raises BadPictureError for anything that is not a whole and plain PNG of sensible size.
    """
    chunks = _chunks(data)
    if [name for name, _ in chunks[:1]] != [b"IHDR"] or chunks[-1] != (b"IEND", b""):
        raise BadPictureError("its chunks are not in order")
    header = chunks[0][1]
    if len(header) != 13 or sum(name == b"IHDR" for name, _ in chunks) != 1:
        raise BadPictureError("its header is damaged")
    width, height, depth, colour, *methods = struct.unpack(">IIBBBBB", header)
    if colour not in _CHANNELS or depth not in _DEPTHS or any(methods):
        raise BadPictureError("it uses a form of PNG that is not read here")
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise BadPictureError(f"{width} x {height} pixels are too many or too few")
    rows = height * (1 + -(-width * depth * _CHANNELS[colour] // 8))
    _check_pixels(b"".join(body for name, body in chunks if name == b"IDAT"), rows)
    plain = b"".join(_chunk(name, body) for name, body in chunks if name in _KEPT)
    return _SIGNATURE + plain, width, height


def _chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    if not data.startswith(_SIGNATURE):
        raise BadPictureError("it is not a PNG")
    chunks, at = [], len(_SIGNATURE)
    while at < len(data):
        if at + 12 > len(data):
            raise BadPictureError("it is truncated")
        length = struct.unpack_from(">I", data, at)[0]
        name, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        end = data[at + 8 + length : at + 12 + length]
        if len(end) != 4 or struct.unpack(">I", end)[0] != zlib.crc32(name + body):
            raise BadPictureError("it is truncated or damaged")
        chunks.append((name, body))
        at += 12 + length
    if not chunks:
        raise BadPictureError("it is empty")
    return chunks


def _check_pixels(packed: bytes, expected: int) -> None:
    """Unpack no more than the pixels that the header announces."""
    unpacker = zlib.decompressobj()
    try:
        found = len(unpacker.decompress(packed, expected + 1))
    except zlib.error as error:
        raise BadPictureError("its pixels are damaged") from error
    if found != expected or unpacker.unused_data:
        raise BadPictureError("its pixels are not as many as its header says")


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
