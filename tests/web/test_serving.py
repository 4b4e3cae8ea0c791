"""The command's own flags for the pages, and addresses behind a proxy."""

from __future__ import annotations

import pytest

from tests.server.kit import attempt
from tests.web.kit import Make, Place, tags_of, text_of


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--max-upload", "lots"], "expected a size such as 100G"),
        (["--allow-folder", "src"], "needs a project and --tokens"),
        (["--allow-folder", "absent", "--tokens", "../tokens"], "does not exist"),
        (["--allow-folder", "fetch.lock", "--tokens", "../tokens"], "is a file"),
    ],
)
def test_flags_that_are_wrong(place: Place, flags: list[str], words: str) -> None:
    done = attempt(place.home, "serve", "--port", "0", *flags, cwd=place.root)
    assert done.returncode == 2 and words in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


def test_links_hold_behind_a_proxy_that_adds_a_prefix(writable: Make) -> None:
    place = writable("--trust-forwarded")
    proxy = {
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "models.example.org",
        "X-Forwarded-Prefix": "/mirror",
    }
    for path in ("/", "/-/artifact/demo/small", "/-/leaderboard", "/-/login"):
        text = text_of(place.page(path, **proxy))
        for tag, attributes in tags_of(text):
            for name in attributes.keys() & {"href", "src", "action"}:
                assert attributes[name].startswith(("/mirror/", "#")), (tag, attributes)
    text = text_of(place.page("/-/artifact/demo/small", **proxy))
    assert "HF_ENDPOINT=https://models.example.org/mirror" in text
    form = {"token": "reader-token-1", "next": "/-/leaderboard"}
    origin = {"Origin": "https://models.example.org", "Sec-Fetch-Site": "same-origin"}
    answer = place.post("/-/login", form, {**proxy, **origin})
    assert answer.headers["location"] == "/mirror/-/leaderboard"
    cookie = answer.headers["set-cookie"]
    assert "Path=/mirror/" in cookie and "Secure" in cookie
