"""What a server says of a body's compression, and undoing it: what it says may be untrue.

Servers put any word into Content-Encoding: a charset, how they got the body, the compression that
an archive has by itself. Only compressions count, and the bytes show whether they are there.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

_GZIP = b"\x1f\x8b"
# How each begins, where that can be told.
_BEGINNINGS = {
    "gzip": (_GZIP,),
    "x-gzip": (_GZIP,),
    "deflate": (),
    "br": (),
    "zstd": (b"\x28\xb5\x2f\xfd",),
}
_HERE = frozenset({"gzip", "x-gzip", "deflate"})
_MOST_LAYERS = 4
_SLACK = 64 << 10
_LONGEST_BEGINNING = 16 << 20


def codings(headers: Mapping[str, str]) -> tuple[str, ...]:
    """The compressions that an answer names, in the order in which they were put on.

    `headers` are by lower-case name.
    """
    value = headers.get("content-encoding", "")
    named = [word.strip().lower() for word in value.split(",")] if value else []
    return tuple(word for word in named if word in _BEGINNINGS)


def looks_packed(found: Sequence[str], head: bytes) -> bool:
    """Whether a body that begins with `head` can be what `codings` names."""
    beginnings = _BEGINNINGS[found[-1]] if found else ()
    return bool(found) and (not beginnings or head.startswith(beginnings))


def can_unpack(found: Sequence[str]) -> bool:
    """Whether the standard library undoes all of them."""
    return 0 < len(found) <= _MOST_LAYERS and _HERE.issuperset(found)


class DamagedError(ValueError):
    """The bytes are not what the server says; `begun` if they were at their beginning."""

    def __init__(self, begun: bool = False) -> None:
        super().__init__()
        self.begun = begun


class CutOffError(DamagedError):
    """The bytes end too early."""


class TooLongError(ValueError):
    """There are more bytes than may come out."""


class _Layer(Protocol):
    def feed(self, data: bytes, most: int) -> bytes:
        """The bytes that come out, no more than `most` + 1."""

    @property
    def whole(self) -> bool:
        """Whether nothing is missing."""


class Unpacker:
    """Undoes compressions piece by piece; `most` bytes may come out in all."""

    def __init__(self, found: Sequence[str], most: int) -> None:
        if not can_unpack(found):
            raise DamagedError
        self._layers = [_layer(name) for name in reversed(found)]
        self._left = most

    def feed(self, data: bytes) -> bytes:
        """What comes out for the next piece. Raises DamagedError, TooLongError."""
        for layer in self._layers:
            # What a layer within is may be a little longer than what it holds.
            room = self._left if layer is self._layers[-1] else self._left + _SLACK
            data = layer.feed(data, room)
            if len(data) > room:
                raise TooLongError
        self._left -= len(data)
        return data

    @property
    def whole(self) -> bool:
        """Whether every layer has come to its end."""
        return all(layer.whole for layer in self._layers)


def unpacked(data: bytes, found: Sequence[str], most: int) -> bytes:
    """A whole body without its compressions. Raises DamagedError, CutOffError, TooLongError."""
    unpacker = Unpacker(found, most)
    plain = unpacker.feed(data)
    if not unpacker.whole:
        raise CutOffError
    return plain


def beginning(head: bytes, found: Sequence[str]) -> bytes:
    """What a body that begins with `head` begins with when it is unpacked."""
    try:
        return Unpacker(found, _LONGEST_BEGINNING).feed(head) if found else head
    except ValueError:
        return head


def _layer(name: str) -> _Layer:
    return _Deflated() if name == "deflate" else _Gzipped()


class _Gzipped:
    """One gzip member after another; zeros and garbage behind the last do not count."""

    def __init__(self) -> None:
        self._decoder: Any = None
        self._members = 0
        self._rest = b""
        self._ended = False

    @property
    def whole(self) -> bool:
        return self._decoder is None and self._members > 0

    def feed(self, data: bytes, most: int) -> bytes:
        out = bytearray()
        data = self._rest + data
        self._rest = b""
        while data and not self._ended:
            if self._decoder is None:
                if len(data) < len(_GZIP) and _GZIP.startswith(data):
                    self._rest = data
                    break
                if not data.startswith(_GZIP):
                    if not self._members:
                        raise DamagedError
                    self._ended = True
                    break
                self._decoder = zlib.decompressobj(wbits=31)
            try:
                out += self._decoder.decompress(data, most + 1 - len(out))
            except zlib.error as error:
                raise DamagedError(begun=self._members > 0) from error
            if len(out) > most:
                break
            data = self._decoder.unused_data
            if self._decoder.eof:
                self._decoder, self._members = None, self._members + 1
        return bytes(out)


class _Deflated:
    """zlib's format, or bare deflate: servers send both under one name."""

    def __init__(self) -> None:
        self._decoder: Any = None

    @property
    def whole(self) -> bool:
        return self._decoder is not None and bool(self._decoder.eof)

    def feed(self, data: bytes, most: int) -> bytes:
        if self._decoder is None:
            if not data:
                return b""
            self._decoder = zlib.decompressobj()
            try:
                return bytes(self._decoder.decompress(data, most + 1))
            except zlib.error:
                self._decoder = zlib.decompressobj(wbits=-15)
        try:
            return bytes(self._decoder.decompress(data, most + 1))
        except zlib.error as error:
            raise DamagedError from error
