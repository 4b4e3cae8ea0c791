"""Screenshots of the catalog's pages in Chromium, as a desk and a telephone show them."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import write_project
from tests.kit import payload
from tests.server.kit import fetch, serving
from tests.servers.hub import HubServer
from tests.web.browser import Browser, signed_in
from tests.web.kit import TOKENS, Place

SHOTS = (
    *((name, path, size, "en") for name, path in (
        ("catalog", "/"), ("form", "/-/add"), ("leaderboard", "/-/leaderboard")
    ) for size in ("wide", "narrow")),
    ("catalog", "/", "narrow", "ko"),
)  # fmt: skip
WIDTHS = {"wide": (1280, 900), "narrow": (390, 844)}  # pixels
_CODECS = {
    "vqgan-f16-1024": ("VQGAN f=16, 1k", "vqgan", "pytorch", 19.4, 0.0391),
    "vqgan-f16-16384": ("VQGAN f=16, 16k", "vqgan", "pytorch", 20.9, 0.0547),
    "vqgan-f8-256": ("VQGAN f=8, 256", "vqgan", "pytorch", 22.9, 0.125),
    "hyperprior-q3": ("Hyperprior, q=3", "hyperprior", "pytorch", 30.1, 0.2981),
    "hyperprior-q6": ("Hyperprior, q=6", "hyperprior", "pytorch", 34.6, 0.9038),
}
_OTHERS = {
    "encoder": "name: Sentence encoder, task: retrieval-embedding, license: Apache-2.0, "
    "tags: [sentence-transformers]",
    "chat-1b": "name: Chat 1B, task: text-generation, license: Apache-2.0, tags: [llm, korean]",
    "gated-8b": "name: Chat 8B, task: text-generation, license: Llama-3.1, tags: [llm], "
    "requires_auth: true, optional: true",
    "faces": "name: Portraits, kind: dataset, license: CC-BY-4.0, tags: [images]",
}
_COLOURS = 128


def _manifest() -> str:
    lines = ["visibility: public", "artifacts:"]
    for name, (title, tag, framework, _, _) in _CODECS.items():
        lines.append(
            f"  {name}: {{name: '{title}', task: image-compression, framework: {framework}, "
            f"license: MIT, owner: research, tags: [{tag}], source: hf:acme/{name}}}"
        )
    lines += [
        f"  {name}: {{{said}, owner: research, source: hf:acme/{name}}}"
        for name, said in _OTHERS.items()
    ]
    return "\n".join(lines) + "\n"


def _reports() -> str:
    results = [
        {
            "artifact": name,
            "type": "compression",
            "state": "passed",
            "metrics": {"benchmarks": {"kodak24": {"psnr": psnr, "bpp": bpp}}},
        }
        for name, (_, _, _, psnr, bpp) in _CODECS.items()
    ]
    return json.dumps({"schema": "fetch.report/1", "results": results})


@contextmanager
def site(home: Path) -> Iterator[Place]:
    """A project with something to see, fetched and served."""
    root = home / "project"
    names = [*_CODECS, *_OTHERS]
    tree = "".join(f"    {name}/: {name}\n" for name in names)
    write_project(root, "demo", _manifest(), f"tree:\n  models:\n{tree}")
    (home / "tokens").write_text(TOKENS)
    (root / "checkpoints").mkdir()
    with HubServer() as hub:
        for n, name in enumerate(names):
            hub.add_repo(f"acme/{name}", {"model.safetensors": payload(90_000 * (n + 1), n)})
        fetch(home, "all", "--quiet", cwd=root, HF_ENDPOINT=hub.url)
        (root / ".fetch/reports").mkdir(exist_ok=True)
        (root / ".fetch/reports/verify.json").write_text(_reports())
        (root / "models/faces/model.safetensors").unlink()
        arguments = ("--tokens", home / "tokens", "--allow-folder", "checkpoints")
        with serving(home, *arguments, cwd=root, HF_ENDPOINT=hub.url) as mirror:
            yield Place(home, root, mirror, hub)


def _screenshot(browser: Browser, width: int, height: int, dark: bool) -> bytes:
    """A PNG of few colours: text and areas need no more."""
    from PIL import Image

    browser.size(width, dark)
    screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    taken = browser.driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
    picture = Image.open(io.BytesIO(base64.b64decode(taken["data"]))).convert("RGB")
    few = picture.quantize(_COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    out = io.BytesIO()
    few.save(out, "PNG", optimize=True)
    return out.getvalue()


def screenshots(home: Path, folder: Path) -> Iterator[Path]:
    """Write each picture: a desk's are light, a telephone's dark."""
    with site(home) as place, signed_in(home, place) as browser:
        for name, path, size, language in SHOTS:
            browser.open(f"{path}?lang={language}")
            ending = "" if language == "en" else f".{language}"
            file = folder / f"{name}-{size}{ending}.png"
            file.write_bytes(_screenshot(browser, *WIDTHS[size], size == "narrow"))
            yield file
