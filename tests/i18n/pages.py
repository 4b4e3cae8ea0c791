"""Translated pages of the documentation, and what keeps them in step with the English ones.

    python -m tests.i18n.pages                       what is out of step; exit code 1 if anything is
    python -m tests.i18n.pages --checked [PAGE …]    write the digests, once a person has compared

Each section of a translation says by a comment below its heading which English text it translates:
`<!-- en: DIGEST -->`. Headings, code, links, pictures and tables are compared one to one; comments
in code, the words of pictures and what a program prints are translated.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import posixpath
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
_MARK = re.compile(r"^<!-- en: ([0-9a-f]{12}|\?) -->\n", re.M)
_HEADING = re.compile(r"(#{1,6}) +(.*?) *#*$")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
# Languages whose blocks hold what a program prints: their words are translated.
_PRINTED = {"", "text", "console"}
_COMMENTS = re.compile(r"(?:^|[ \t]+)#(?: .*|$)", re.M)
_MARKDOWN = MarkdownIt("commonmark").enable("table")


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it, up to the next one; the first may have no heading."""

    level: int
    title: str
    text: str  # without the comment
    mark: str | None  # the digest that a translation states

    @property
    def digest(self) -> str:
        """Of its words: how the lines are broken does not count."""
        whole = f"{'#' * self.level} {self.title}\n{self.text}"
        return hashlib.sha256(" ".join(whole.split()).encode()).hexdigest()[:12]


def pairs(root: Path = ROOT, language: str = "ko") -> dict[str, str]:
    """The English page of each translation, by their paths from the project's root."""
    found = {
        f"docs/{language}/{path.name}": f"docs/{path.name}"
        for path in sorted((root / "docs" / language).glob("*.md"))
    }
    return {f"README.{language}.md": "README.md", **found}


def sections(page: str) -> list[Section]:
    """A page's sections, in order. A `#` in a code block is no heading."""
    found: list[tuple[int, str, list[str]]] = [(0, "", [])]
    fence = ""
    for line in page.splitlines(keepends=True):
        opens = _FENCE.match(line)
        if opens and not fence:
            fence = opens[1]
        elif opens and opens[1].startswith(fence) and not line.strip().strip(fence[0]):
            fence = ""
        heading = None if fence or opens else _HEADING.fullmatch(line.rstrip("\n"))
        if heading:
            found.append((len(heading[1]), heading[2], []))
        else:
            found[-1][2].append(line)
    return [_section(level, title, "".join(lines)) for level, title, lines in found]


def _section(level: int, title: str, text: str) -> Section:
    marks = _MARK.findall(text)
    return Section(level, title, _MARK.sub("", text), marks[0] if marks else None)


def slug(title: str) -> str:
    """The anchor of a heading, as GitHub makes it."""
    plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title).lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def _tokens(text: str) -> Iterator[Token]:
    for token in _MARKDOWN.parse(text):
        yield token
        yield from token.children or ()


def _code(text: str) -> list[str]:
    """Its blocks without comments; of what a program prints, only the commands."""
    found = []
    for token in _tokens(text):
        if token.type in ("fence", "code_block"):
            language = token.info.split()[0] if token.info.split() else ""
            body = token.content
            if language in _PRINTED:
                body = "\n".join(line for line in body.splitlines() if line.startswith("$ "))
            lines = (line.rstrip() for line in _COMMENTS.sub("", body).splitlines())
            found.append(f"{language}: " + "\n".join(line for line in lines if line))
    return found


def _inline(text: str) -> set[str]:
    return {token.content for token in _tokens(text) if token.type == "code_inline"}


def _targets(text: str) -> list[str]:
    found = []
    for token in _tokens(text):
        if token.type == "link_open":
            found.append(unquote(str(token.attrs["href"])))
        elif token.type == "image":
            found.append(unquote(str(token.attrs["src"])))
        elif token.type in ("html_block", "html_inline"):
            found += re.findall(r'\b(?:src|srcset)="([^"]+)"', token.content)
    return found


def _rows(text: str) -> int:
    return sum(token.type == "tr_open" for token in _tokens(text))


class Site:
    """The pages of a tree and their translations: says what is out of step."""

    def __init__(self, root: Path = ROOT, language: str = "ko") -> None:
        self.root = root
        self.language = language
        self.pairs = pairs(root, language)
        self._read: dict[str, list[Section]] = {}

    def sections(self, page: str) -> list[Section]:
        """A page's sections. Raises OSError."""
        if page not in self._read:
            self._read[page] = sections((self.root / page).read_text("utf-8"))
        return self._read[page]

    def problems(self, page: str) -> list[str]:
        """What is out of step in one translation, a line each."""
        english = self.pairs[page]
        if not (self.root / english).exists():
            return [f"{page}: there is no {english}"]
        theirs, ours = self.sections(english), self.sections(page)
        shape = [section.level for section in theirs]
        if shape != [section.level for section in ours]:
            return [f"{page}: its headings are not those of {english}: " + _first(theirs, ours)]
        found = []
        for one, other in zip(theirs, ours, strict=True):
            place = f"{page}, {other.title!r}"
            if (one.title or one.text.strip()) and one.digest != other.mark:
                found.append(f"{place}: {one.title!r} of {english} has changed")
            found += [f"{place}: {told}" for told in self._differences(english, one, page, other)]
        return found

    def _differences(self, english: str, one: Section, page: str, other: Section) -> Iterator[str]:
        if (wanted := _code(one.text)) != (found := _code(other.text)):
            differs = [f"{a!r} became {b!r}" for a, b in zip(wanted, found, strict=False) if a != b]
            yield "code: " + ("; ".join(differs) or f"{len(wanted)} blocks became {len(found)}")
        said, translated = (_inline(f"{part.title}\n\n{part.text}") for part in (one, other))
        if said != translated:
            yield f"inline code: {sorted(said ^ translated)}"
        links = Counter(self._as_translated(link, english, page) for link in _targets(one.text))
        ours = Counter(_targets(other.text))
        if links != ours:
            lost, new = sorted((links - ours).elements()), sorted((ours - links).elements())
            yield f"links: {lost} became {new}"
        if _rows(one.text) != _rows(other.text):
            yield f"tables: {_rows(one.text)} rows became {_rows(other.text)}"

    def _as_translated(self, link: str, english: str, page: str) -> str:
        """Where a link of the English page leads from the translation."""
        if re.match(r"[a-z+]+:", link):
            return link
        path, _, anchor = link.partition("#")
        target = posixpath.normpath(posixpath.join(posixpath.dirname(english), path))
        target = english if not path else target
        here = posixpath.dirname(page)
        for translation, original in self.pairs.items():
            # The line that leads from one language to the other.
            if target == translation:
                return posixpath.relpath(original, here or ".")
            if target == original and (self.root / translation).exists():
                anchor = self._anchor(anchor, original, translation)
                target = translation
                break
        else:
            target = self._picture(target)
        relative = posixpath.relpath(target, here or ".") if target != page or path else ""
        return relative + (f"#{anchor}" if anchor else "")

    def _anchor(self, anchor: str, english: str, page: str) -> str:
        slugs = [slug(section.title) for section in self.sections(english)]
        if not anchor or anchor not in slugs:
            return anchor
        number = slugs.index(anchor)
        ours = self.sections(page)
        return slug(ours[number].title) if number < len(ours) else anchor

    def _picture(self, target: str) -> str:
        name, ending = posixpath.splitext(target)
        own = f"{name}.{self.language}{ending}"
        return own if ending != ".md" and (self.root / own).exists() else target

    def write_digests(self, page: str) -> None:
        """State the digests of today's English text. Raises OSError, ValueError."""
        theirs, ours = self.sections(self.pairs[page]), self.sections(page)
        if [section.level for section in theirs] != [section.level for section in ours]:
            raise ValueError(self.problems(page)[0])
        parts = []
        for one, other in zip(theirs, ours, strict=True):
            heading = f"{'#' * other.level} {other.title}\n" if other.level else ""
            has_text = one.title or one.text.strip()
            parts.append(heading + (f"<!-- en: {one.digest} -->\n" if has_text else ""))
            parts.append(other.text)
        (self.root / page).write_text("".join(parts), "utf-8")
        del self._read[page]


def _first(theirs: Sequence[Section], ours: Sequence[Section]) -> str:
    for number, one in enumerate(theirs):
        other = ours[number] if number < len(ours) else None
        if other is None or other.level != one.level:
            return f"{one.title!r} met {other.title if other else 'the end'!r}"
    return f"{ours[len(theirs)].title!r} is more"


def main() -> int:
    """List what is out of step, or write the digests."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checked", action="store_true", help="write the digests")
    parser.add_argument("--language", default="ko")
    parser.add_argument("pages", nargs="*", metavar="PAGE")
    options = parser.parse_args()
    site = Site(ROOT, options.language)
    chosen = [os.path.relpath(page, ROOT) for page in options.pages] or list(site.pairs)
    if unknown := set(chosen) - set(site.pairs):
        parser.error(f"no translation: {', '.join(sorted(unknown))}")
    if options.checked:
        for page in chosen:
            site.write_digests(page)
    problems = [problem for page in chosen for problem in site.problems(page)]
    for problem in problems:
        print(problem)
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
