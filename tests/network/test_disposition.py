"""Names that servers give to what they send are data, and become the last segment of a path."""

from __future__ import annotations

import pytest

from fetcher.network.disposition import server_name

ADDRESS = "https://host.example.org/download?id=7"


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ('attachment; filename="model.pt"', "model.pt"),
        ("attachment; filename=model.pt; size=3", "model.pt"),
        (r'attachment; filename="a \"b\".pt"', 'a "b".pt'),
        (r'attachment; filename="a\.pt"', "a.pt"),
        (r'attachment; filename="C:\Users\me\y.bin"', "y.bin"),
        (r'attachment; filename="\\share\x\y.bin"', "y.bin"),
        ('attachment; filename="../../evil.bin"', "evil.bin"),
        ('attachment; filename=".."', ""),
        ('attachment; filename=""', ""),
        ('attachment; filename="con"', ""),
        ('attachment; filename=".git"', ""),
        ("attachment; filename*=UTF-8''%ED%95%9C.bin; filename=\"x.bin\"", "한.bin"),
        ("attachment; filename*=UTF-8''..%2F..%2Fz.bin", "z.bin"),
        ("attachment; filename*=no-such-set''a%FF.bin; filename=b.bin", "b.bin"),
        ('attachment; filename="' + "a" * 400 + '"', ""),
    ],
)
def test_a_name_is_the_last_segment_and_safe(header: str, name: str) -> None:
    assert server_name({"content-disposition": header}, ADDRESS) == name


def test_a_page_has_no_name_and_an_address_only_one_with_an_ending() -> None:
    page = {"content-type": "text/html", "content-disposition": 'attachment; filename="a.pt"'}
    assert server_name(page, ADDRESS) == ""
    assert server_name({}, "https://host.example.org/files/a%20b.pt?x=1") == "a b.pt"
    assert server_name({}, ADDRESS) == ""
