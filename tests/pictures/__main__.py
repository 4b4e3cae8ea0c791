"""Record the terminal, and take the pages' pictures, into docs/pictures.

    python -m tests.pictures [--only terminal|pages] [--folder docs/pictures]

`terminal.cast` is what asciinema plays, `terminal-light.svg` and `terminal-dark.svg` are for pages
where nothing may run; `.ko` stands for Korean. Nothing of the machine is in them: hosts, folders,
times of the day and free disk are replaced. How long the commands took is as it was.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.pictures import pages, scene, svg, terminal

FOLDER = Path(__file__).parents[2] / "docs/pictures"
TITLES = {
    "en": "fetch in a terminal: plan, all, status, verify, and check naming a changed file",
    "ko": "터미널의 fetch: plan, all, status, verify, 그리고 바뀐 파일을 찾아내는 check",
}
# Of the large files, bytes a second: enough for the bar to be seen moving.
RATE = 9_000_000


def recorded(
    language: str, rate: int, steps: Sequence[scene.Step] = scene.STEPS
) -> terminal.Recording:
    """The scene in a language, with a project, a home and a store of its own."""
    with tempfile.TemporaryDirectory() as folder, scene.hub(rate) as hub:
        root, home = Path(folder, "demo"), Path(folder, "home")
        root.mkdir()
        home.mkdir()
        scene.project(root)
        environment = scene.environment(home, hub, language)
        return terminal.record(TITLES[language], root, environment, steps)


def terminals(folder: Path) -> Iterator[Path]:
    """The casts and their animations, in each language."""
    for language, ending in (("en", ""), ("ko", ".ko")):
        recording = recorded(language, RATE)
        cast = folder / f"terminal{ending}.cast"
        cast.write_text(recording.cast(), "utf-8")
        yield cast
        for theme in svg.THEMES:
            picture = folder / f"terminal-{theme}{ending}.svg"
            picture.write_text(svg.animation(recording, theme), "utf-8")
            yield picture


def main() -> int:
    """Make all or some of them, and say how large they are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("terminal", "pages"))
    parser.add_argument("--folder", type=Path, default=FOLDER)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    made: list[Path] = []
    if options.only != "pages":
        made += terminals(options.folder)
    if options.only != "terminal":
        with tempfile.TemporaryDirectory() as home:
            made += pages.screenshots(Path(home), options.folder)
    for path in made:
        print(f"{path.stat().st_size:9,}  {path.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
