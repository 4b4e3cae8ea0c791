"""The opcode scanner: it names every global that an unpickler would be asked for."""

from __future__ import annotations

import io
import pickle
import pickletools
import zipfile
from collections import OrderedDict
from typing import Any

from fetcher.verify.contract.pickles import is_harmless, refused_globals, wanted_globals

from tests.fuzz.kit import Target, file_with


class _Inert:
    """Stands for whatever is looked up; does nothing."""

    def __init__(self, *arguments: object, **named: object) -> None:
        pass

    def __call__(self, *arguments: object, **named: object) -> _Inert:
        return self

    def __setstate__(self, state: object) -> None:
        pass


class _Asking(pickle._Unpickler):
    """Python's own unpickler, which keeps what it is asked for."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))
        self.asked: set[str] = set()

    def find_class(self, module: str, name: str) -> Any:
        self.asked.add(f"{module}.{name}")
        return _Inert

    def persistent_load(self, pid: Any) -> Any:
        return _Inert()


def check(data: bytes) -> None:
    with file_with(data, "w.pt") as path:
        found = wanted_globals(path)
        assert found == sorted(set(found))
        assert refused_globals(path) == [name for name in found if not is_harmless(name)]
        if zipfile.is_zipfile(path):
            return
    if not _is_whole(data):
        return
    asking = _Asking(data)
    try:
        asking.load()
    except Exception:  # a broken pickle fails in many ways; what it asked for until then counts
        pass
    except RecursionError:
        pass
    # A space in a name is a dot in what is told.
    asked = {name.replace(" ", ".") for name in asking.asked}
    assert asked <= {name.replace(" ", ".") for name in found}, (asking.asked, found)


def _is_whole(data: bytes) -> bool:
    """Whether every opcode can be read: what cannot, is left out of what is told."""
    try:
        return bool(list(pickletools.genops(data)))
    except Exception:
        return False


class _Odd:
    def __reduce__(self) -> tuple[Any, ...]:
        return OrderedDict, ([("a", 1)],)


TARGET = Target(
    check,
    [
        *(pickle.dumps({"w": OrderedDict(a=1), "s": {1}, "o": _Odd()}, protocol) for protocol in range(6)),
        b"cos\nsystem\n(S'x'\ntR.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
        b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94h\x00h\x01\x93.",
        b"(ios\nsystem\n.",
        b"\x80\x02\x82\x01.",
    ],
    [b"c", b"\x93", b"\x8c\x02os", b"\x8c\x06system", b"\x94", b"h\x00", b"q\x00", b"r\0\0\0\0", b"0", b"2",
     b"1", b"(", b"i", b"o", b"R", b".", b"\x80\x04", b"\x95\x08\0\0\0\0\0\0\0", b"X\x02\0\0\0os", b"Vos\n",
     b"S'os'\n", b"p0\n", b"g0\n", b"\x81", b"\x92", b"b", b"\x82\x01", b"U\x02os", b"T\x02\0\0\0os",
     b"\x8d\x02\0\0\0\0\0\0\0os", b"cos\nsystem\n", b"j\0\0\0\0", b"]", b"e", b"t", b"\x85", b"\x86"],
    longest=400,
)  # fmt: skip
