"""CRC-32C (Castagnoli), which Google Cloud Storage tells of every object.

Python has none. A byte at a time it would take minutes for a gigabyte; here a block is cut into
lanes that go forward side by side, each step by whole-block operations of bytes and int.
"""

from __future__ import annotations

from functools import lru_cache

_POLYNOMIAL = 0x82F63B78
_LANES, _DEPTH = 8192, 256  # a block is so many lanes of so many bytes
BLOCK = _LANES * _DEPTH


@lru_cache(maxsize=1)
def _table() -> tuple[int, ...]:
    found = list(range(256))
    for _ in range(8):
        found = [(value >> 1) ^ (_POLYNOMIAL if value & 1 else 0) for value in found]
    return tuple(found)


@lru_cache(maxsize=1)
def _planes() -> tuple[bytes, ...]:
    """The table's four bytes, each as a table for bytes.translate."""
    return tuple(bytes(value >> shift & 255 for value in _table()) for shift in (0, 8, 16, 24))


def update(crc: int, data: bytes) -> int:
    """The checksum of what `crc` is of, followed by `data`; 0 is that of nothing."""
    at = 0
    while len(data) - at >= BLOCK:
        crc = _block(crc, data[at : at + BLOCK])
        at += BLOCK
    crc ^= 0xFFFFFFFF
    table = _table()
    for byte in data[at:]:
        crc = table[(crc ^ byte) & 255] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def _block(crc: int, data: bytes) -> int:
    """One block, whose lanes begin at 0 and are joined by what so many zeros make of a sum."""
    first, second, third, fourth = _planes()
    low = middle = high = top = 0
    for step in range(_DEPTH):
        low ^= int.from_bytes(data[step::_DEPTH], "little")
        index = low.to_bytes(_LANES, "little")
        low = middle ^ int.from_bytes(index.translate(first), "little")
        middle = high ^ int.from_bytes(index.translate(second), "little")
        high = top ^ int.from_bytes(index.translate(third), "little")
        top = int.from_bytes(index.translate(fourth), "little")
    columns = [value.to_bytes(_LANES, "little") for value in (low, middle, high, top)]
    zeros = _zeros()
    joined = crc ^ 0xFFFFFFFF
    for a, b, c, d in zip(*columns, strict=True):
        joined = (
            zeros[0][joined & 255]
            ^ zeros[1][joined >> 8 & 255]
            ^ zeros[2][joined >> 16 & 255]
            ^ zeros[3][joined >> 24]
            ^ (a | b << 8 | c << 16 | d << 24)
        )
    return joined ^ 0xFFFFFFFF


@lru_cache(maxsize=1)
def _zeros() -> tuple[tuple[int, ...], ...]:
    """What a lane of zeros makes of a register: four tables, one for each of its bytes."""
    table = _table()
    bits = []
    for bit in range(32):
        value = 1 << bit
        for _ in range(_DEPTH):
            value = table[value & 255] ^ (value >> 8)
        bits.append(value)
    found = []
    for byte in range(4):
        values = [0] * 256
        for value in range(1, 256):
            lowest = (value & -value).bit_length() - 1
            values[value] = values[value & (value - 1)] ^ bits[8 * byte + lowest]
        found.append(tuple(values))
    return tuple(found)
