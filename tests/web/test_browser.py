"""The pages in a real browser: what is seen, by keyboard, with and without scripts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.hub import HubServer
from tests.web.browser import Browser, browsing, needs_browser

pytest.importorskip("selenium")
pytestmark = needs_browser
AXE = Path(os.environ.get("FETCH_TEST_AXE", ".venv-test/axe/node_modules/axe-core/axe.min.js"))
PAGES = [
    *("/", "/?q=absent", "/-/artifact/demo/vqgan-16", "/-/artifact/demo/vqgan-8", "/-/leaderboard"),
    *("/-/artifact/demo/evil", "/-/add", "/-/login", "/-/nothing"),
]
# Elements whose own text is wider than they are, and that cannot be scrolled to its end.
CUT = """
return [...document.querySelectorAll("main *, header *")].filter(e => {
  const seen = e.getClientRects().length && getComputedStyle(e).position !== "absolute";
  const typed = ["INPUT", "SELECT", "TEXTAREA", "OPTION"].includes(e.tagName);
  return seen && !typed && !e.closest("svg, .scroll, pre") && e.scrollWidth > e.clientWidth + 1
    && e.clientWidth > 0;
}).map(e => e.outerHTML.slice(0, 120));
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory, hub: HubServer) -> Iterator[Browser]:
    with browsing(tmp_path_factory.mktemp("browser"), hub) as found:
        yield found


# Every two of the three meet: what goes wrong in one of them, or where two meet, is seen.
@pytest.mark.parametrize(
    ("width", "language", "dark"),
    [(1280, "en", False), (1280, "ko", True), (390, "en", True), (390, "ko", False)],
    ids=["wide-en-light", "wide-ko-dark", "narrow-en-dark", "narrow-ko-light"],
)
def test_every_page_is_whole_and_accessible(
    browser: Browser, width: int, language: str, dark: bool
) -> None:
    browser.size(width, dark)
    browser.requests()
    browser.driver.get_log("browser")
    for path in PAGES:
        browser.open(f"{path}{'&' if '?' in path else '?'}lang={language}")
        _check_page(browser, path, width)
    asked = browser.requests()
    assert asked and all(url.startswith(browser.place.mirror.url) for url in asked), asked
    said = [entry["message"] for entry in browser.driver.get_log("browser")]
    assert all("/-/nothing" in text for text in said), said
    _fill(browser, language, {"name": "Wrong", "io.resolution": "[", "hf_repo": "nobody/absent"})
    browser.wait(lambda: browser.there("#mistakes"), "the mistakes")
    _check_page(browser, "the form with mistakes", width)
    _fill(browser, language, {"name": "Right", "hf_repo": "o/small"})
    browser.wait(lambda: browser.there("#preview"), "the preview")
    _check_page(browser, "the preview", width)
    browser.size(1280)


def _fill(browser: Browser, language: str, texts: dict[str, str]) -> None:
    """Fill the form anew and ask for its preview."""
    browser.open(f"/-/add?lang={language}")
    browser.fill(texts)
    browser.find('button[value="preview"]').click()


def _check_page(browser: Browser, what: str, width: int) -> None:
    wide = browser.driver.execute_script("return document.documentElement.scrollWidth")
    assert wide <= width, f"{what} is {wide} pixels wide"
    cut = browser.driver.execute_script(CUT)
    assert cut == [], (what, cut)
    if AXE.is_file():
        _check_with_axe(browser, what)


def _check_with_axe(browser: Browser, path: str) -> None:
    browser.driver.execute_script(AXE.read_text("utf-8"))
    found = browser.driver.execute_async_script(
        "const done = arguments[0]; axe.run(document).then(r => done(r.violations), e => done(e))"
    )
    told = [(item["id"], [node["html"][:200] for node in item["nodes"]]) for item in found]
    assert told == [], (path, told)


def test_the_catalog_without_a_script_and_by_keyboard(browser: Browser) -> None:
    from selenium.webdriver.common.keys import Keys

    browser.scripts(False)
    try:
        browser.open("/?lang=en")
        browser.keys(Keys.TAB)
        assert "Skip to the content" in browser.text()
        browser.find("#q").send_keys("openimages", Keys.ENTER)
        browser.wait(lambda: "q=openimages" in browser.driver.current_url, "searched")
        assert "1 artifact" in browser.text()
        browser.find("tbody a").send_keys(Keys.ENTER)
        browser.wait(lambda: "weights do not fit" in browser.text(), "the artifact's page")
        browser.find('a[hreflang="ko"]').send_keys(Keys.ENTER)
        browser.wait(lambda: "대상 트리" in browser.text(), "in Korean")
        browser.find('a[hreflang="en"]').send_keys(Keys.ENTER)
        browser.wait(lambda: "Target tree" in browser.text(), "in English again")
    finally:
        browser.scripts(True)


def test_a_model_is_registered_by_keyboard(browser: Browser) -> None:
    from selenium.webdriver.common.keys import Keys

    browser.open("/-/add?lang=en")
    browser.tab_to("#i-name")
    browser.keys("VQGAN ImageNet (f=16), 2048")
    value = "return document.getElementById('i-id').value"
    browser.wait(lambda: browser.driver.execute_script(value) == "vqgan-imagenet-f16-2048", "an id")
    browser.tab_to("#i-task")
    browser.keys("image-compression")
    browser.tab_to("#i-hf_repo")
    browser.keys("o/small", Keys.ENTER)
    browser.wait(lambda: "Please correct" in browser.text(), "the mistake is told")
    assert "must offer reconstruct" in browser.text()
    focus = "return document.activeElement.id"
    assert browser.driver.execute_script(focus) == "mistakes"
    assert browser.find("#i-hf_repo").get_attribute("value") == "o/small"
    browser.tab_to('[name="interface"][value="reconstruct"]')
    browser.keys(Keys.SPACE)
    browser.tab_to('button[value="preview"]')
    browser.keys(Keys.ENTER)
    browser.wait(lambda: "This will be written" in browser.text(), "the preview")
    assert "vqgan-imagenet-f16-2048:" in browser.text() and "owner: ana" in browser.text()
    browser.tab_to('button[value="save"]')
    browser.keys(Keys.ENTER)
    browser.wait(lambda: "Registered." in browser.text(), "registered")
    manifest = (browser.place.root / "manifests/demo.yaml").read_text()
    assert "vqgan-imagenet-f16-2048:" in manifest


def test_the_fields_follow_the_kind_of_source(browser: Browser) -> None:
    browser.open("/-/add?lang=en")
    shown = {"huggingface": "#i-hf_repo", "github": "#i-gh_repo", "url": "#i-url",
             "local": "#i-server_path", "upload": "#i-upload"}  # fmt: skip
    for kind in shown:
        browser.find(f"#kind-{kind}").click()
        for other, css in shown.items():
            assert browser.find(css).is_displayed() == (other == kind), (kind, css)


def test_an_upload_that_is_interrupted_goes_on(browser: Browser, tmp_path: Path) -> None:
    data = os.urandom(9 << 20)
    (tmp_path / "last.ckpt").write_bytes(data)
    browser.open("/-/add?lang=en")
    browser.find("#i-name").send_keys("Uploaded")
    browser.find("#kind-upload").click()
    browser.network(upload=6 << 20)
    browser.find("#i-upload").send_keys(str(tmp_path / "last.ckpt"))
    said = browser.find(".upload-box output")
    browser.wait(lambda: "4.2 MB of 9.4 MB" in said.text, "the first part")
    browser.network(offline=True)
    browser.wait(lambda: "Interrupted" in said.text, "interrupted")
    browser.network()
    # The page is gone, the part that was sent is not.
    browser.open("/-/add?lang=en")
    browser.find("#i-name").send_keys("Uploaded")
    browser.find("#kind-upload").click()
    browser.requests()
    browser.find("#i-upload").send_keys(str(tmp_path / "last.ckpt"))
    said = browser.find(".upload-box output")
    browser.wait(lambda: "Uploaded: last.ckpt" in said.text, "gone on")
    parts = list((browser.place.root / "uploads").glob("*/last.ckpt"))
    assert len(parts) == 1 and parts[0].read_bytes() == data
    sent = [url for url in browser.requests() if "offset=" in url]
    assert sent and not any(url.endswith("offset=0") for url in sent), sent
    browser.find('button[value="save"]').click()
    browser.wait(lambda: "Registered." in browser.text(), "registered")


def test_a_verification_is_followed(browser: Browser) -> None:
    from selenium.webdriver.common.keys import Keys

    browser.open("/-/artifact/demo/small?lang=en")
    browser.find('form[action*="/-/verify/"] button').send_keys(Keys.ENTER)
    browser.wait(lambda: "Verification of demo/small" in browser.text(), "the job")
    ended = 'return document.querySelector("[role=status] .mark").className'
    browser.wait(lambda: browser.driver.execute_script(ended) == "mark skipped", "its end")
    if AXE.is_file():
        _check_with_axe(browser, "the job")


def test_the_form_without_a_script(browser: Browser) -> None:
    browser.scripts(False)
    try:
        browser.open("/-/add?lang=ko")
        browser.find("#i-name").send_keys("Plain")
        browser.find("#kind-upload").click()
        assert "JavaScript" in browser.text()
        browser.find("#kind-local").click()
        browser.find("#i-server_path").send_keys("src/c.bin")
        browser.find('button[value="preview"]').click()
        browser.wait(lambda: "다음 내용이 기록됩니다" in browser.text(), "the preview")
        assert browser.find("#i-id").get_attribute("value") == "plain"
    finally:
        browser.scripts(True)
