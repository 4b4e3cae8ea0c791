"""An asciinema recording as an SVG that moves by CSS alone: in a README nothing else may run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

import pyte

from tests.pictures.terminal import COLUMNS, LINES, Recording, screens

_WIDE, _HIGH, _PAD, _BAR = 8.4, 18.0, 14.0, 34.0  # pixels: of a cell, around, of the window's title
_FONT = (
    "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono','D2Coding','NanumGothicCoding',"
    "'Noto Sans Mono CJK KR',monospace"
)
_FRAME_SECONDS = 0.1  # what follows sooner is one frame
# A terminal's colours by pyte's names, on light and on dark: each reads with 4.5 to 1 or more.
_LIGHT = {
    "background": "#ffffff", "default": "#1f2328", "black": "#1f2328", "red": "#b3261e",
    "green": "#116329", "brown": "#7d4e00", "blue": "#0550ae", "magenta": "#8250df",
    "cyan": "#1b6c75", "white": "#57606a", "frame": "#d0d7de",
}  # fmt: skip
_DARK = {
    "background": "#0d1117", "default": "#e6edf3", "black": "#8b949e", "red": "#ff7b72",
    "green": "#56d364", "brown": "#e3b341", "blue": "#79c0ff", "magenta": "#d2a8ff",
    "cyan": "#56d4dd", "white": "#e6edf3", "frame": "#30363d",
}  # fmt: skip
THEMES = {"light": _LIGHT, "dark": _DARK}

Style = tuple[str, bool]  # colour, bold
Run = tuple[int, int, str, Style]  # first column, columns, text, style


@dataclass(frozen=True)
class Frame:
    """What is shown from a time on, in seconds."""

    at: float
    lines: tuple[tuple[Run, ...], ...]


def frames(recording: Recording) -> list[Frame]:
    """What differs, ten times a second at most."""
    found: list[Frame] = []
    for at, screen in screens(recording):
        lines = tuple(tuple(_runs(screen, row)) for row in range(LINES))
        if found and found[-1].lines == lines:
            continue
        if found and at - found[-1].at < _FRAME_SECONDS:
            found[-1] = Frame(found[-1].at, lines)
        else:
            found.append(Frame(at, lines))
    return found


def _runs(screen: pyte.Screen, row: int) -> Iterator[Run]:
    cells = screen.buffer[row]
    start, text, style = 0, "", ("default", False)
    for column in range(COLUMNS):
        cell = cells[column]
        if cell.data == "":  # the second half of a wide character
            continue
        own = (cell.fg, cell.bold)
        alone = len(text) == 0
        if alone or own != style or (cell.data == " " and text.endswith("  ")):
            if text.strip():
                yield _run(start, text, style)
            start, text, style = column, "", own
        text += cell.data
    if text.strip():
        yield _run(start, text, style)


def _run(start: int, text: str, style: Style) -> Run:
    kept = text.rstrip()
    lead = len(kept) - len(kept.lstrip())
    kept = kept.lstrip()
    return start + lead, sum(2 if _is_wide(letter) else 1 for letter in kept), kept, style


def _is_wide(letter: str) -> bool:
    return "\u1100" <= letter <= "\uffdc" and not "\u2000" <= letter <= "\u2fff"


def animation(recording: Recording, theme: str) -> str:
    """The SVG's text: frames side by side, of which a window shows one at a time."""
    colours = THEMES[theme]
    shown = frames(recording)
    width, height = COLUMNS * _WIDE + 2 * _PAD, LINES * _HIGH + 2 * _PAD + _BAR
    different = dict.fromkeys(line for frame in shown for line in frame.lines)
    lines = {line: n for n, line in enumerate(different)}
    seconds = recording.events[-1][0]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}" role="img" aria-label="{escape(recording.title)}">',
        f"<title>{escape(recording.title)}</title>",
        f"<style>{_style(shown, seconds, width, colours)}</style>",
        "<defs>",
        *(f'<g id="l{n}">{_line(line)}</g>' for line, n in lines.items() if line),
        "</defs>",
        f'<rect width="{width:g}" height="{height:g}" rx="8" fill="{colours["background"]}" '
        f'stroke="{colours["frame"]}"/>',
        *(
            f'<circle cx="{20 + 18 * n}" cy="19" r="5.5" fill="{colours["frame"]}"/>'
            for n in range(3)
        ),
        f'<svg x="{_PAD:g}" y="{_BAR:g}" width="{COLUMNS * _WIDE:g}" '
        f'height="{LINES * _HIGH + 4:g}">',
        '<g class="film">',
    ]
    for number, frame in enumerate(shown):
        uses = "".join(
            f'<use href="#l{lines[line]}" y="{row * _HIGH:g}"/>'
            for row, line in enumerate(frame.lines)
            if line
        )
        parts.append(f'<g transform="translate({number * width:g})">{uses}</g>')
    return "\n".join([*parts, "</g></svg></svg>"]) + "\n"


def _line(line: Sequence[Run]) -> str:
    return "".join(
        f'<text x="{start * _WIDE:g}" y="14" textLength="{cells * _WIDE:g}" '
        f'lengthAdjust="spacingAndGlyphs"{_classes(style)}>{escape(text)}</text>'
        for start, cells, text, style in line
    )


def _classes(style: Style) -> str:
    names = [name for name in (style[0] if style[0] != "default" else "", "b" * style[1]) if name]
    return f' class="{" ".join(names)}"' if names else ""


def _style(shown: Sequence[Frame], seconds: float, width: float, colours: dict[str, str]) -> str:
    steps = "".join(
        f"{frame.at / seconds:.4%}{{transform:translateX({-number * width:g}px)}}"
        for number, frame in enumerate(shown)
    )
    last = -(len(shown) - 1) * width
    used = {style[0] for frame in shown for line in frame.lines for *_, style in line}
    rules = "".join(
        f".{name}{{fill:{colours[name]}}}" for name in sorted(used - {"default"}) if name in colours
    )
    return (
        f"text{{font:14px {_FONT};fill:{colours['default']};white-space:pre}}.b{{font-weight:700}}"
        f"{rules}@keyframes film{{{steps}100%{{transform:translateX({last:g}px)}}}}"
        f".film{{animation:film {seconds:g}s steps(1,end) infinite}}"
        # Who wants nothing to move sees how it ends.
        f"@media (prefers-reduced-motion:reduce){{.film{{animation:none;"
        f"transform:translateX({last:g}px)}}}}"
    )
