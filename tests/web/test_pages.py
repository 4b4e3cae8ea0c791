"""The pages that anybody reads, in both languages and without a script."""

from __future__ import annotations

import hashlib
import html
import re
import time
from pathlib import Path

import pytest

from tests.conftest import write_project
from tests.server.kit import bearer, serving
from tests.web.kit import HTML, PNG, READER, WRITER, Make, Place, tags_of, text_of, words_of

PAGES = ["/", "/-/", "/-/artifact/demo/vqgan-16", "/-/artifact/demo/evil", "/-/leaderboard",
         "/-/login", "/-/nothing", "/-/artifact/demo/hidden", "/-/add"]  # fmt: skip


@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize("path", PAGES)
def test_every_page_stands_in_its_language_and_guards_itself(
    place: Place, path: str, language: str
) -> None:
    answer = place.page(path, **{"Accept-Language": language})
    text = text_of(answer)
    assert answer.status in {200, 403, 404}
    assert f'<html lang="{language}">' in text and answer.headers["content-language"] == language
    menu = {"en": "Leaderboard", "ko": "리더보드"}
    assert menu[language] in text
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "Accept-Language" in answer.headers["vary"] and "Cookie" in answer.headers["vary"]
    # What names say is text, and nothing leads off this host.
    for tag, attributes in tags_of(text):
        assert tag not in {"b", "i", "x", "style", "iframe"}, tag
        assert not any(name.startswith("on") or name == "style" for name in attributes)
        for name in attributes.keys() & {"href", "src", "action"}:
            assert re.match(r"(/(?!/)|#)", attributes[name]), (tag, attributes)
        assert tag != "img" or attributes["src"].startswith("/-/picture/")
        assert tag != "script" or attributes["src"].startswith("/-/static/")
    assert len(answer.body) < 200_000


def test_the_language_is_switched_by_a_link_and_kept(place: Place) -> None:
    english = text_of(place.page("/?q=vqgan"))
    link = re.search(r'<a href="([^"]+)" hreflang="ko"', english)
    assert link and link[1] == "/?q=vqgan&amp;lang=ko"
    answer = place.page(html.unescape(link[1]))
    assert "카탈로그" in text_of(answer) and "vqgan-16" in text_of(answer)
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("fetch_language=ko;") and "SameSite=Lax" in cookie
    kept = place.page("/", Cookie=cookie.partition(";")[0])
    assert "카탈로그" in text_of(kept) and "set-cookie" not in kept.headers
    assert place.page("/?lang=xx").headers["content-language"] == "en"


def test_other_clients_get_the_front_page_that_they_know(place: Place) -> None:
    answer = place.mirror.ask("/")
    assert b"export HF_ENDPOINT=" in answer.body and answer.headers["vary"] == "Accept"
    assert place.mirror.ask("/", headers={"Accept": "*/*"}).body == answer.body


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", {"vqgan-16", "vqgan-8", "small", "evil"}),
        ("q=VQGAN", {"vqgan-16", "vqgan-8"}),
        ("q=vqgan+imagenet", {"vqgan-16"}),
        ("q=tiny", {"small"}),
        ("task=image-compression&framework=jax", {"vqgan-8"}),
        ("tag=first-stage", {"vqgan-16"}),
        ("owner=research", {"vqgan-16"}),
        ("gated=yes", {"evil"}),
        ("state=missing", {"vqgan-8", "evil"}),
        ("state=complete", {"vqgan-16", "small"}),
        ("q=hidden", set()),
        ("task=nothing&page=7&nonsense=1", set()),
        ("q=%00%ff%F0&state='%22%3E%3Cscript%3E", set()),
    ],
)
def test_search_and_filters(place: Place, query: str, names: set[str]) -> None:
    text = text_of(place.page(f"/?{query}"))
    assert set(re.findall(r'href="/-/artifact/demo/([\w-]+)"', text)) == names
    assert "<script>" not in text


def test_a_page_of_one_artifact(place: Place) -> None:
    words = words_of(place.page("/-/artifact/demo/vqgan-16"))
    for text in (
        "VQGAN ImageNet (f=16), 1024",
        "second <b>line</b>",
        "local:src",
        "codebook_size = 1024",
        f"fetch all vqgan-16 --from {place.mirror.url}",
        "<i>all</i> tensors",
        "Quality",
        hashlib.sha256((place.root / "src/a.bin").read_bytes()).hexdigest(),
        "vqgan-16/\n    a.bin",
    ):
        assert text in words, text
    small = words_of(place.page("/-/artifact/demo/small"))
    assert f"export HF_ENDPOINT={place.mirror.url}" in small and "snapshot_download" in small
    assert re.search(r"[0-9a-f]{40}", small)
    failed = words_of(place.page("/-/artifact/demo/vqgan-8"))
    assert "weights do not fit <x>" in failed and "missing" in failed


def test_pictures_of_a_report_are_shown_to_those_who_see_it(place: Place) -> None:
    digest = hashlib.sha256(PNG).hexdigest()
    assert f'src="/-/picture/{digest}"' in text_of(place.page("/-/artifact/demo/vqgan-16"))
    answer = place.page(f"/-/picture/{digest}")
    assert answer.body == PNG and answer.headers["content-type"] == "image/png"
    assert place.page(f"/-/picture/{'0' * 64}").status == 404
    assert place.page("/-/picture/..%2f..%2fverify.json").status == 404


def test_private_artifacts_exist_for_those_who_may_see_them(place: Place) -> None:
    for path in ("/", "/-/leaderboard", "/-/api/models", "/models", "/?q=hidden"):
        assert "demo/hidden" not in text_of(place.page(path)), path
        assert "Hidden" not in text_of(place.page(path)), path
    assert place.page("/-/artifact/demo/hidden").status == 404
    assert place.page("/-/artifact/demo/hidden", READER).status == 200
    assert "demo/hidden" in text_of(place.page("/-/leaderboard", READER))
    assert "Hidden" not in text_of(place.page("/-/leaderboard"))


def test_the_leaderboard_has_ranks_and_plots(place: Place) -> None:
    text = text_of(place.page("/-/leaderboard"))
    assert "kodak24" in text and "24.5" in text and '<svg class="plot"' in text
    assert "style=" not in text


@pytest.mark.parametrize(
    "path",
    [
        "/-/static/../web.py",
        "/-/static/%2e%2e/web.py",
        "/-/static//etc/passwd",
        "/-/static/web.css/",
        "/-/artifact/demo",
        "/-/artifact/../..",
        "/-/artifact/demo/%00",
        "/-/artifact/demo/" + "x" * 3000,
        "/-/job/" + "0" * 32,
        "/-",
        "/-//",
    ],
)
def test_addresses_that_lead_nowhere(place: Place, path: str) -> None:
    answer = place.page(path)
    assert answer.status == 404 or (path == "/-" and answer.status == 200)
    assert b"Traceback" not in answer.body and b"import" not in answer.body


def test_the_style_and_script_are_served_from_here(place: Place) -> None:
    for name, kind in (("web.css", "text/css"), ("web.js", "text/javascript")):
        answer = place.page(f"/-/static/{name}")
        assert answer.status == 200 and answer.headers["content-type"].startswith(kind)
        assert b"//" not in re.sub(rb"^//.*$", b"", answer.body, flags=re.MULTILINE)
        assert b"@import" not in answer.body


def test_a_large_catalog_comes_in_light_pages(tmp_path: Path) -> None:
    """The figures that are promised hold for 2,000 artifacts; time is measured elsewhere."""
    root = tmp_path / "p"
    entries = "".join(
        f"  model-{n:04d}: {{name: 'Model number {n:04d} with a long name', task: task-{n % 30},"
        f" owner: owner-{n % 300}, tags: [tag-{n % 500}, kind-{n % 7}], license: Apache-2.0,"
        f" framework: pytorch, source: 'hf:owner-{n % 300}/model-{n}'}}\n"
        for n in range(2000)
    )
    tree = "".join(f"  m/model-{n:04d}/: model-{n:04d}\n" for n in range(2000))
    write_project(root, "big", f"artifacts:\n{entries}", f"tree:\n{tree}")
    (root / "fetch.lock").write_text('{"schema": "fetch.lock/1", "manifests": {}}')
    with serving(tmp_path, cwd=root) as mirror:
        first = mirror.ask("/", headers=HTML)
        assert "2000" in words_of(first), words_of(first)
        assert len(first.body) < 200_000
        last = mirror.ask("/?page=40", headers=HTML)
        assert "model-1999" in text_of(last) and "model-0000" not in text_of(last)
        assert "page=39" in text_of(last) and "page=41" not in text_of(last)
        assert "model-1999" in text_of(mirror.ask("/?page=999999", headers=HTML))
        assert len(mirror.ask("/-/api/models?limit=5").json()["models"]) == 5


def test_a_manifest_that_cannot_be_read_is_named_to_those_who_can_mend_it(
    writable: Make,
) -> None:
    place = writable()
    path = place.root / "manifests/demo.yaml"
    path.write_text(path.read_text() + "  broken: [1]\n")
    found = ""
    for _ in range(100):
        found = words_of(place.page("/", WRITER))
        if "cannot be read" in found:
            break
        time.sleep(0.1)
    assert "cannot be read" in found and "cannot be read" not in words_of(place.page("/"))
    # Nobody can tell what is private now: everything is.
    for _ in range(100):
        if "vqgan-16" not in words_of(place.page("/")):
            break
        time.sleep(0.1)
    assert "vqgan-16" not in words_of(place.page("/"))
    assert place.mirror.ask("/healthz", headers=bearer(READER)).status == 200


def test_without_a_token_a_browser_is_led_to_the_login(writable: Make) -> None:
    place = writable("--require-token")
    answer = place.page("/-/leaderboard")
    assert answer.status == 303
    assert answer.headers["location"] == "/-/login?next=%2F-%2Fleaderboard"
    assert place.page("/-/login").status == 200 and place.page("/-/static/web.css").status == 200
    assert place.mirror.ask("/").status == 401 and place.page("/-/api/models").status in {303, 401}
    assert place.page("/models").status == 401
    cookie = place.sign_in(READER)
    assert place.page("/", **cookie).status == 200
    assert place.page("/models", **cookie).status == 200
