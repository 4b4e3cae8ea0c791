"""Builds the site: `python -m website.build [OUT]`, by default into ./site.

The pages are copied to where the site has them, with their links moved along; Sphinx does the rest.
A warning is an error: a link or anchor that leads nowhere ends the build.
"""

from __future__ import annotations

import argparse
import os
import posixpath
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path, PurePosixPath

from website import markdown, navigation
from website.navigation import DOCS, GROUPS, ROOT

_HERE = Path(__file__).parent
_NAMES = {
    navigation.INDEX: "index.md",
    "README.md": "index.md",
    "README.ko.md": "ko/index.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "reporting.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/results/transfer.md": "measurements.md",
    "benchmarks/results/far.md": "far-servers.md",
}


# Pictures of HTML within a page, which Sphinx leaves as they are.
_SHOWN_IN_HTML = re.compile(r"""(<(?:img|source)\b[^<>]*?\bsrc(?:set)?=")([^"<>]+)""")


def place(page: str) -> str:
    """Where the site has a file of the repository."""
    return _NAMES.get(page) or page.removeprefix("docs/")


def relink(page: str, text: str, files: set[str]) -> str:
    """The page's text with links as the site has them.

    Adds to `files` what is linked and is no page. Raises `FileNotFoundError` for what is not there.
    """
    folder = posixpath.dirname(page)
    here = posixpath.dirname(place(page))
    shown = {*navigation.pages(), *_NAMES}

    def moved(target: str) -> str:
        if target.startswith(("#", "mailto:")) or "://" in target:
            return target
        path, mark, anchor = target.partition("#")
        wanted = posixpath.normpath(posixpath.join(folder, path))
        if wanted.startswith("..") or not (ROOT / wanted).exists():
            raise FileNotFoundError(f"{page}: the link {target} leads nowhere")
        if wanted not in shown:
            files.add(wanted)
        if (ROOT / wanted).is_dir():
            raise FileNotFoundError(f"{page}: {target} is a folder: link a file in it")
        return posixpath.relpath(place(wanted), here or ".") + mark + anchor

    relinked = markdown.relinked(text, moved)
    return _SHOWN_IN_HTML.sub(lambda found: found[1] + moved(found[2]), relinked)


def _toctrees() -> str:
    blocks = []
    for group in GROUPS:
        there = [place(page) for page in group.pages if (ROOT / page).exists()]
        if there:
            names = "\n".join(name.removesuffix(".md") for name in there)
            blocks.append(f"```{{toctree}}\n:hidden:\n:caption: {group.caption}\n\n{names}\n```\n")
    return "\n" + "\n".join(blocks)


def stage(source: Path) -> None:
    """Lay the site's sources out in an empty folder."""
    files: set[str] = set()
    for page in [navigation.INDEX, *navigation.pages()]:
        text = navigation.index() if page == navigation.INDEX else (ROOT / page).read_text("utf-8")
        if not markdown.headings(text):
            text = f"# {navigation.title(page)}\n\n{text}"
        text = relink(page, text, files)
        target = source / place(page)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text + (_toctrees() if page == navigation.INDEX else ""), "utf-8")
    for name in sorted(files):
        target = source / place(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target)
    extra = source / "_extra"
    extra.mkdir()
    for name in sorted(files):
        if name.endswith(".svg"):
            (extra / place(name)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, extra / place(name))
    for schema in DOCS.glob("*.schema.json"):
        shutil.copyfile(schema, extra / schema.name)
    shutil.copytree(_HERE / "static", source / "_static")
    shutil.copyfile(_HERE / "conf.py", source / "conf.py")


def build(out: Path) -> int:
    """Sphinx's exit status. `out` is made anew."""
    options = ["--builder", "html", "--fail-on-warning", "--keep-going", "--quiet"]
    with tempfile.TemporaryDirectory() as work:
        source = Path(work) / "source"
        source.mkdir()
        stage(source)
        shutil.rmtree(out, ignore_errors=True)
        command = [sys.executable, "-m", "sphinx", *options, "--doctree-dir", f"{work}/doctrees"]
        environment = {**os.environ, "PYTHONHASHSEED": "0"}
        done = subprocess.run([*command, str(source), str(out)], env=environment, check=False)
    for page in out.rglob("*.html"):
        page.write_text(_accessible(page.read_text("utf-8")), "utf-8")
    # Sphinx's own bookkeeping, with times in it, is no page.
    for name in (".buildinfo", "objects.inv"):
        (out / name).unlink(missing_ok=True)
    return done.returncode


# What is left out for those who listen to a page: (what is written, what stands there then).
_MENDED = (
    ('class="caption" role="heading"', 'class="caption" role="heading" aria-level="2"'),
    ('<aside class="sidebar-drawer"', '<aside class="sidebar-drawer" aria-label="All pages"'),
    ('<aside class="toc-drawer', '<aside aria-label="On this page" class="toc-drawer'),
    ('<div class="table-wrapper', '<div tabindex="0" role="group" class="table-wrapper'),
    ('<th class="head"><p></p></th>', '<td class="head"></td>'),
    ('<div class="highlight"><pre>', '<div class="highlight"><pre tabindex="0">'),
)


def _accessible(html: str) -> str:
    for written, wanted in _MENDED:
        html = html.replace(written, wanted)
    return html


def main() -> int:
    """Build, and say where the site is. Exit code 1 where a page is at fault."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("out", nargs="?", type=Path, default=ROOT / "site")
    out = parser.parse_args().out.absolute()
    try:
        if status := build(out):
            return status
    except FileNotFoundError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{len(list(out.rglob('*.html')))} pages: open {PurePosixPath(out)}/index.html")
    return 0


if __name__ == "__main__":
    sys.exit(main())
