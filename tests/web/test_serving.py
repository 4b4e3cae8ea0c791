"""The command's own flags for the pages, and addresses behind a proxy."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import write_project
from tests.kit import payload
from tests.server.kit import attempt, fetch, serving
from tests.web.kit import (
    LAYOUT,
    MANIFEST,
    TOKENS,
    WRITER,
    Make,
    Place,
    tags_of,
    text_of,
    words_of,
)


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


def test_a_project_that_was_never_fetched_shows_what_it_wants(tmp_path: Path, hub: Any) -> None:
    root = tmp_path / "project"
    root.mkdir()
    write_project(root, "demo", MANIFEST, LAYOUT)
    (root / "src").mkdir()
    (tmp_path / "tokens").write_text(TOKENS)
    blob = payload(999)
    digest = hashlib.sha256(blob).hexdigest()
    held = tmp_path / "store/blobs/sha256" / digest
    held.parent.mkdir(parents=True)
    held.write_bytes(blob)
    tokens = ("--tokens", tmp_path / "tokens")
    with serving(tmp_path, *tokens, cwd=root, HF_ENDPOINT=hub.url) as mirror:
        place = Place(tmp_path, root, mirror, hub)
        assert "no artifact is there yet" in mirror.greeting
        words = words_of(place.page("/"))
        assert "VQGAN OpenImages" in words and "Small" in words and "Hidden" not in words
        shown = mirror.ask("/-/api/models").json()["models"]
        assert {item["state"] for item in shown} == {"missing"}
        page = words_of(place.page("/-/artifact/demo/small"))
        assert "not resolved yet" in page and "fetch all small\n" in page and "--from" not in page
        # The Hub has nothing of it, and the store's other contents stay out of reach.
        assert mirror.ask("/api/models/o/small").code == "RepoNotFound"
        assert mirror.ask("/o/small/resolve/main/config.json").status == 404
        assert mirror.ask(f"/blobs/sha256/{digest}").status == 404
        assert mirror.ask("/projects/fetch.lock").status == 404
        # A model may be registered there; what is fetched meanwhile is shown as held.
        value = {"name": "New", "checkpoint": "hf:o/small", "visibility": "Public"}
        assert place.call("/-/api/models", value, WRITER).status == 201
        fetch(tmp_path, "all", "new", cwd=root, HF_ENDPOINT=hub.url)
        found = wait_for(lambda: mirror.ask("/-/api/models/new").json(), "held", True)
        assert found["state"] == "complete" and len(found["files"]) == 2
        assert mirror.ask("/o/small/resolve/main/config.json").body == b"{}"


def wait_for(ask: Callable[[], Any], key: str, value: Any) -> Any:
    """What is answered once it says so: the pages follow a change within seconds."""
    end = time.monotonic() + 30
    while (found := ask()).get(key) != value and time.monotonic() < end:
        time.sleep(0.1)
    assert found.get(key) == value, found
    return found


def test_contents_stay_out_of_reach_when_the_lock_goes(writable: Make) -> None:
    place = writable()
    hidden = hashlib.sha256((place.root / "src/a.bin").read_bytes()).hexdigest()
    assert place.mirror.ask(f"/blobs/sha256/{hidden}").status == 200
    (place.root / "fetch.lock").unlink()
    ask = place.mirror.ask
    end = time.monotonic() + 30
    while ask(f"/blobs/sha256/{hidden}").status == 200 and time.monotonic() < end:
        time.sleep(0.1)
    assert ask(f"/blobs/sha256/{hidden}").status == 404


def test_nginx_serves_files_alone(tmp_path: Path) -> None:
    write_project(tmp_path, "demo", MANIFEST, LAYOUT)
    done = attempt(tmp_path, "serve", "--nginx-config", tmp_path / "n", cwd=tmp_path)
    assert done.returncode == 2 and "has no fetch.lock\n" in done.stderr, done.stderr
