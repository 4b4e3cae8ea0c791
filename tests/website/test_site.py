"""The built site: links lead somewhere, nothing is asked of other hosts, and it can be read."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

pytest.importorskip("myst_parser", reason="the extra `docs` needs Python 3.11")

from tests.web.browser import CHROMIUM, DRIVER, FLAGS, needs_browser
from website import build, navigation
from website.navigation import ROOT

AXE = Path(os.environ.get("FETCH_TEST_AXE", ".venv-test/axe/node_modules/axe-core/axe.min.js"))
pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("docs") / "site"
    assert build.build(out) == 0, "a page is at fault: its warning stands above"
    return out


class Page(HTMLParser):
    """What a page leads to, loads, and can be led to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors = {""}
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attributes}
        self.anchors.add(found.get("id", ""))
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        for name in {"src", "srcset", "data", "poster"} & set(found):
            self.loaded.append(found[name])
        if tag == "link":
            self.loaded.append(found.get("href", ""))


def test_every_link_and_anchor_leads_somewhere_and_nothing_comes_from_elsewhere(site: Path) -> None:
    pages = {path: Page(path.read_text("utf-8")) for path in site.rglob("*.html")}
    assert len(pages) > 30
    checked = 0
    for path, page in pages.items():
        for link in page.links + page.loaded:
            parts = urlsplit(link)
            if (
                parts.scheme in {"https", "data"} and link not in page.loaded
            ) or parts.scheme == "data":
                continue
            assert not parts.scheme and not parts.netloc, f"{path.name} loads {link}"
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert target.is_file(), f"{path.name}: {link} leads nowhere"
            if target in pages:
                assert unquote(parts.fragment) in pages[target].anchors, f"{path.name}: {link}"
            checked += 1
    assert checked > 1000
    for style in site.rglob("*.css"):
        loaded = re.findall(r"url\(['\"]?([^)'\"]+)", style.read_text("utf-8"))
        assert not [one for one in loaded if "//" in one and not one.startswith("data:")], style


def test_every_page_is_there_with_its_schema(site: Path) -> None:
    for page in navigation.pages():
        assert (site / build.place(page)).with_suffix(".html").exists(), page
    for schema in (ROOT / "docs").glob("*.schema.json"):
        assert (site / schema.name).read_bytes() == schema.read_bytes()


def test_a_link_that_leads_nowhere_ends_the_build() -> None:
    for link in ("gone.md", "../../etc/passwd", "../fetcher"):
        with pytest.raises(FileNotFoundError, match=re.escape(link)):
            build.relink("docs/start.md", f"[x]({link})", set())
    files: set[str] = set()
    moved = build.relink(
        "docs/python.md", "[n](../examples/fetch.ipynb) [r](../README.md#a)", files
    )
    assert moved == "[n](examples/fetch.ipynb) [r](index.md#a)" and files == {
        "examples/fetch.ipynb"
    }


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    options = ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = Chrome(options, Service(str(DRIVER)))
    driver.execute_cdp_cmd("Network.enable", {})
    try:
        yield driver
    finally:
        driver.quit()


# axe takes seconds for the long ones, which are made of the same parts.
LISTENED_TO = {"index", "start", "comparison", "exit-codes", "layout", "troubleshooting", "sources"}


@needs_browser
def test_pages_can_be_read_on_every_screen_as_files(site: Path, browser: Any) -> None:
    run = browser.execute_cdp_cmd
    script = browser.execute_script
    for page in sorted(site.rglob("*.html")):
        if page.name in {"genindex.html", "search.html"}:
            continue
        listened = page.stem in LISTENED_TO
        for width, scheme in ((390, "dark"), (1280, "light"))[: 1 + listened]:
            screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
            run("Emulation.setDeviceMetricsOverride", screen)
            feature = {"name": "prefers-color-scheme", "value": scheme}
            run("Emulation.setEmulatedMedia", {"features": [feature]})
            browser.get(page.as_uri())
            assert script("return document.documentElement.scrollWidth") <= width, (page, width)
            assert script("return document.querySelectorAll('h1').length") == 1
            if AXE.exists() and listened:
                script(AXE.read_text("utf-8"))
                found = browser.execute_async_script(
                    "const done = arguments[0]; axe.run(document).then(r => done(r.violations))"
                )
                bad = [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found]
                assert bad == [], f"{page}, {width}, {scheme}: {json.dumps(bad, indent=1)[:3000]}"


@needs_browser
def test_the_search_works_from_files_and_asks_nobody(site: Path, browser: Any) -> None:
    address = (site / "search.html").as_uri()
    browser.get(f"{address}?q=gated")
    end = time.monotonic() + 20
    hits: list[str] = []
    while not hits and time.monotonic() < end:
        time.sleep(0.1)
        found = browser.find_elements("css selector", "#search-results li a")
        hits = [one.get_attribute("href") for one in found]
    assert any("troubleshooting" in hit for hit in hits), hits
    # The browser's own first page asks for what belongs to the browser.
    own = ("file:", "data:", "chrome:", "chrome-untrusted:")
    asked = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [one["params"] for one in asked if one["method"] == "Network.requestWillBeSent"]
    urls = [one["request"]["url"] for one in sent]
    assert urls and all(url.startswith(own) for url in urls), urls
