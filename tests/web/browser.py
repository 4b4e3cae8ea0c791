"""A real browser for tests: headless Chromium, told by chromedriver what a person would do."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.servers.hub import HubServer
from tests.web.conftest import opened
from tests.web.kit import WRITER, Place

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
needs_browser = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not installed"
)
FLAGS = [
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--hide-scrollbars", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--lang=en"),
]


class Browser:
    """A headless Chromium that asks one server."""

    def __init__(self, driver: Any, place: Place) -> None:
        self.driver = driver
        self.place = place

    def open(self, path: str) -> None:
        self.driver.get(self.place.mirror.url + path)

    def size(self, width: int, dark: bool = False) -> None:
        screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})

    def scripts(self, on: bool) -> None:
        self.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not on})

    def network(self, *, offline: bool = False, upload: int = -1) -> None:
        self.driver.execute_cdp_cmd(
            "Network.emulateNetworkConditions",
            {"offline": offline, "latency": 0, "downloadThroughput": -1,
             "uploadThroughput": upload},
        )  # fmt: skip

    def find(self, css: str) -> Any:
        return self.driver.find_element("css selector", css)

    def there(self, css: str) -> bool:
        """Whether the page that is there just now has such an element."""
        script = "return document.querySelector(arguments[0]) !== null"
        return bool(self.driver.execute_script(script, css))

    def text(self) -> str:
        """What is read on the page, whichever is there just now."""
        return str(
            self.driver.execute_script("return document.body ? document.body.innerText : ''")
        )

    def fill(self, texts: Mapping[str, Any]) -> None:
        """Answer fields of the form: type, tick or choose, as each of them wants it."""
        self.driver.execute_script("document.querySelector('details').open = true")
        for key, wanted in texts.items():
            fields = self.driver.find_elements("css selector", f'[name="{key}"]')
            if isinstance(wanted, list):
                boxes = {box.get_attribute("value"): box for box in fields}
                for choice in wanted:
                    boxes[choice].click()
            else:
                fields[0].send_keys(wanted)

    def keys(self, *keys: str) -> None:
        from selenium.webdriver import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def tab_to(self, css: str) -> None:
        """Press Tab until something has the focus: it can be reached, and it is seen there."""
        from selenium.webdriver.common.keys import Keys

        for _ in range(120):
            self.keys(Keys.TAB)
            script = "return document.activeElement.matches(arguments[0])"
            if self.driver.execute_script(script, css):
                return
        raise AssertionError(f"{css} cannot be reached by Tab")

    def wait(self, ready: Callable[[], object], what: str) -> None:
        end = time.monotonic() + 20
        while time.monotonic() < end:
            if ready():
                return
            time.sleep(0.05)
        raise AssertionError(f"{what}: {self.text()[:2000]}")

    def requests(self) -> set[str]:
        """Every address that was asked for since the last call."""
        found = set()
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                found.add(message["params"]["request"]["url"])
        return found

    def sign_in(self) -> None:
        from selenium.webdriver.common.keys import Keys

        self.open("/-/login?next=/-/add")
        self.tab_to("#token")
        self.keys(WRITER, Keys.ENTER)
        self.wait(lambda: self.driver.current_url.endswith("/-/add"), "signed in")


@contextmanager
def browsing(home: Path, hub: HubServer, **more: str) -> Iterator[Browser]:
    """A browser before a fetched project's pages, signed in."""
    with (
        opened(home / "site", hub, "--allow-folder", "src", **more) as place,
        signed_in(home, place) as found,
    ):
        yield found


@contextmanager
def signed_in(home: Path, place: Place) -> Iterator[Browser]:
    """A browser before a server's pages, signed in as the one who may write."""
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    options = ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={home / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = Chrome(options, Service(str(DRIVER)))
    try:
        found = Browser(driver, place)
        driver.execute_cdp_cmd("Network.enable", {})
        found.size(1280)
        found.sign_in()
        yield found
    finally:
        driver.quit()
