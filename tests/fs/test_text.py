"""Bodies' beginnings as text, in whichever encoding."""

from __future__ import annotations

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetcher.fs.text import text_of

TEXT = "sign in 로그인"
MARKS = {
    "utf-8": codecs.BOM_UTF8,
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32-le": codecs.BOM_UTF32_LE,
    "utf-32-be": codecs.BOM_UTF32_BE,
}


@pytest.mark.parametrize("encoding", MARKS)
def test_a_mark_tells_the_encoding(encoding: str) -> None:
    body = MARKS[encoding] + TEXT.encode(encoding)
    assert text_of(body) == TEXT
    # Cut within a letter, the rest is text all the same.
    cut = text_of(body[:-1])
    assert cut is not None and cut.startswith(TEXT[:-1])
    assert text_of(MARKS[encoding]) is None
    assert text_of(MARKS[encoding] + "a\x01b".encode(encoding)) is None


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_needs_no_mark(encoding: str) -> None:
    page = "<html>" + "x" * 40
    assert text_of(page.encode(encoding)) == page
    assert text_of(page.encode(encoding)[:-1]) == page[:-1]
    assert text_of("a".encode(encoding)) == "a"
    # What its first 32 letters show decides; a later one may be any.
    late = "x" * 32 + "가"
    assert text_of(late.encode(encoding)) == late
    assert text_of(("x" * 31 + "가" + "x").encode(encoding)) is None
    assert text_of("a\x01".encode(encoding)) is None


@pytest.mark.parametrize("encoding", MARKS)
def test_what_is_no_letter_is_shown_as_such(encoding: str) -> None:
    half = {"utf-8": b"\xff", "utf-16-le": b"\0\xd8", "utf-16-be": b"\xd8\0"}
    broken = half.get(encoding, b"\xff\xff\xff\xff")
    start, end = ("x" * 32).encode(encoding), "y".encode(encoding)
    bodies = [MARKS[encoding] + start + broken + end]
    if "16" in encoding:
        bodies.append(start + broken + end)
    for body in bodies:
        found = text_of(body)
        assert found is not None and found.startswith("x" * 32 + "\ufffd")


def test_zeros_are_no_text() -> None:
    assert text_of(b"\0") is None and text_of(bytes(64)) is None
    assert text_of(b"a\0\0b") is None and text_of(b"abc\0") is None
    assert text_of(b"a" * 63 + b"\0") is None
    assert text_of(b"a" * 64 + b"\0") is None


def test_nothing_is_no_text() -> None:
    assert text_of(b"") is None


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"plain \t\r\n\x0b\x0c\x1b[0m~", "plain \t\r\n\x0b\x0c\x1b[0m~"),
        (b"a\x08", None),
        (b"a\x0e", None),
        (b"a\x1a", None),
        (b"a\x1c", None),
        (b"a\x1f", None),
        ("é가".encode(), "é가"),
        # Cut within a letter: at most four bytes from the end, of a beginning that is long enough.
        (b"a" * 14 + "가".encode()[:2], "a" * 14),
        (b"a" * 13 + "가".encode()[:2], "a" * 13 + "ê°"),
        (b"a" * 12 + b"\xf0\x9f\x98\x80"[:3] + b"b", "a" * 12),
        (b"a" * 12 + b"\xff" + b"b" * 4, "a" * 12 + "ÿbbbb"),
        (b"a\x01" * 8 + b"\xea\xb0", None),
    ],
)
def test_text_without_a_mark(body: bytes, text: str | None) -> None:
    assert text_of(body) == text


@pytest.mark.parametrize("good", [b" ", b"~", b"\t", b"\r", b"\n", b"Z"])
def test_four_of_five_bytes_must_be_ascii(good: bytes) -> None:
    assert text_of(b"\xff" + good * 4) == "ÿ" + good.decode() * 4
    assert text_of(b"\xff\xff" + good * 7) is None
    assert text_of(b"\xff\x7f" + good * 4) is None


@given(st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1))
def test_any_text_is_text(text: str) -> None:
    assert text_of(text.encode()) == text.removeprefix("\ufeff") or text == "\ufeff"


@given(st.binary(max_size=90))
def test_any_bytes_are_text_or_none(body: bytes) -> None:
    found = text_of(body)
    assert found is None or (found and "\0" not in found)
