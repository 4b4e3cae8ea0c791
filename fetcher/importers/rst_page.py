"""reStructuredText as Markdown, line by line, so that lines keep their numbers."""

from __future__ import annotations

import re
from itertools import pairwise

_RULE = re.compile(r"([=\-`:'\"~^_*+#<>.])\1{2,}\s*$")
_TARGET = re.compile(r"\.\. _`?([^`:]+)`?:\s+(\S+)\s*$")
_ANONYMOUS = re.compile(r"(?:\.\. __:|__)\s+(\S+)\s*$")
_DIRECTIVE = re.compile(r"(\s*)\.\. ([\w-]+)::\s*(.*)$")
_CODE = {"code-block", "code", "sourcecode", "parsed-literal", "prompt"}
_NOTES = {"note", "tip", "warning", "important", "hint", "attention", "caution", "seealso"}
_INLINE = re.compile(r"`([^`<>]+?)\s*<([^`<>\s]+)>`__?")
_NAMED = re.compile(r"(?:`([^`<>]+)`|(?<![\w`/])([A-Za-z][\w.-]*))__?(?![\w`])")
_GRID = re.compile(r"\s*\+(?:[-=]+\+)+\s*$")
_SIMPLE = re.compile(r"\s*=+(?:\s+=+)+\s*$")


def as_markdown(text: str) -> str:
    """A page's text as Markdown, with the same number of lines."""
    lines = text.splitlines()
    targets = {
        found[1].strip().lower(): found[2]
        for line in lines
        if (found := _TARGET.match(line.strip()))
    }
    return "\n".join(_Page(lines, targets).converted()) + "\n"


class _Page:
    def __init__(self, lines: list[str], targets: dict[str, str]) -> None:
        self.lines, self.targets = lines, targets
        self.anonymous = [found[1] for line in lines if (found := _ANONYMOUS.match(line.strip()))]
        self.out: list[str] = []
        self.at = 0

    def converted(self) -> list[str]:
        """Every line, or what stands for it."""
        while self.at < len(self.lines):
            line = self.lines[self.at]
            if (found := _DIRECTIVE.match(line)) and self._directive(found):
                continue
            if _GRID.match(line):
                self._grid()
            elif _SIMPLE.match(line):
                self._simple()
            elif self._title(line):
                continue
            elif _TARGET.match(line.strip()) or _ANONYMOUS.match(line.strip()):
                self._emit("")
            else:
                self._text(line)
        return self.out

    def _emit(self, text: str) -> None:
        self.out.append(text)
        self.at += 1

    def _next(self) -> str:
        return self.lines[self.at + 1] if self.at + 1 < len(self.lines) else ""

    def _title(self, line: str) -> bool:
        under = self._next()
        if _RULE.match(line) and line.strip() and not (self.out and self.out[-1].strip()):
            self._emit("")  # the rule above a title
            return True
        if (
            line.strip()
            and not line[:1].isspace()
            and _RULE.match(under)
            and (len(under.strip()) >= min(len(line.strip()), 4))
        ):
            self._emit(f"## {self._inline(line.strip())}")
            self._emit("")
            return True
        return False

    def _directive(self, found: re.Match[str]) -> bool:
        indent, name, rest = len(found[1]), found[2].lower(), found[3].strip()
        if name in _CODE:
            self._emit("")
            while re.match(r"\s+:[\w-]+:", self._line()):
                self._emit("")
            self._block(indent, rest.split()[0] if rest else "")
            return True
        if name == "list-table":
            self._list_table(indent)
            return True
        if name in _NOTES:
            self._emit(self._inline(rest))
            while self._line().strip() == "" and self.at < len(self.lines):
                self._emit("")
            while self._line().strip() and _depth(self._line()) > indent:
                self._emit(self._inline(self._line().strip()))
            return True
        self._emit("")  # images, contents, and options of them
        while re.match(r"\s+:[\w-]+:", self._line()):
            self._emit("")
        return True

    def _line(self) -> str:
        return self.lines[self.at] if self.at < len(self.lines) else ""

    def _block(self, indent: int, language: str) -> None:
        """What is indented deeper, as a fence whose marks stand in the empty lines around it."""
        start = self.at
        while self.at < len(self.lines) and not self.lines[self.at].strip():
            self.at += 1
        first = self.at
        while self.at < len(self.lines) and (
            not self.lines[self.at].strip() or _depth(self.lines[self.at]) > indent
        ):
            self.at += 1
        body = self.lines[first : self.at]
        while body and not body[-1].strip():
            body.pop()
        if not body or first == start:
            self.out += [""] * (self.at - start)
            return
        depth = min(_depth(line) for line in body if line.strip())
        self.out += [""] * (first - start - 1) + [f"```{language}"]
        self.out += [line[depth:] for line in body]
        left = self.at - first - len(body)
        self.out += ["```", *[""] * (left - 1)] if left else ["```"]

    def _text(self, line: str) -> None:
        if line.rstrip().endswith("::"):
            bare = line.rstrip()[:-1]
            self._emit(self._inline(bare) if bare.strip(": ") else "")
            self._block(_depth(line), "")
            return
        self._emit(self._inline(line))

    def _inline(self, text: str) -> str:
        codes: list[str] = []

        def kept(found: re.Match[str]) -> str:
            codes.append(found[1])
            return f"\0{len(codes) - 1}\0"

        text = re.sub(r"``(.+?)``", kept, text)
        text = re.sub(r":(?:file|path|command|code|literal|samp):`([^`]+)`", kept, text)
        text = _INLINE.sub(r"[\1](\2)", text)
        text = _NAMED.sub(self._named, text)
        return re.sub(r"\0(\d+)\0", lambda found: f"`{codes[int(found[1])]}`", text)

    def _named(self, found: re.Match[str]) -> str:
        label = found[1] or found[2]
        if found[0].endswith("__") and self.anonymous:
            return f"[{label}]({self.anonymous.pop(0)})"
        address = self.targets.get(label.strip().lower())
        return f"[{label}]({address})" if address else found[0]

    # --- tables, which become those of Markdown; rows of several lines are joined

    def _table(self, rows: list[list[str]], start: int) -> None:
        width = max((len(row) for row in rows), default=0)
        made = []
        for row in rows:
            cells = [self._inline(" ".join(cell.split())).replace("|", "\\|") for cell in row]
            made.append("| " + " | ".join(cells + [""] * (width - len(cells))) + " |")
        if made:
            made.insert(1, "|" + "---|" * width)
        room = self.at - start
        self.out += made[:room] + [""] * (room - len(made))

    def _grid(self) -> None:
        start, edges = self.at, [i for i, c in enumerate(self.lines[self.at]) if c == "+"]
        rows: list[list[str]] = []
        fresh = True
        while self.at < len(self.lines) and self._line().strip()[:1] in {"+", "|"}:
            line = self._line()
            if line.strip().startswith("+"):
                fresh = True
            else:
                cells = [line[a + 1 : b] for a, b in pairwise(edges)]
                if fresh:
                    rows.append(cells)
                else:
                    rows[-1] = [f"{a} {b.strip()}" for a, b in zip(rows[-1], cells, strict=False)]
                fresh = False
            self.at += 1
        self._table(rows, start)

    def _simple(self) -> None:
        start = self.at
        starts = [found.start() for found in re.finditer(r"=+", self._line())]
        rows: list[list[str]] = []
        rules = 0
        while self.at < len(self.lines) and rules < 3:
            line = self._line()
            if _SIMPLE.match(line):
                rules += 1
            elif line.strip():
                ends = [*starts[1:], None]
                cells = [line[a:b].strip() for a, b in zip(starts, ends, strict=True)]
                if not cells[0] and rows:
                    rows[-1] = [f"{a} {b}" for a, b in zip(rows[-1], cells, strict=True)]
                else:
                    rows.append(cells)
            elif rules >= 2 and not _more(self.lines[self.at :]):
                break
            self.at += 1
        self._table(rows, start)

    def _list_table(self, indent: int) -> None:
        start = self.at
        self.at += 1
        rows: list[list[str]] = []
        while self.at < len(self.lines) and (
            not self._line().strip() or _depth(self._line()) > indent
        ):
            text = self._line().strip()
            if found := re.match(r"\* -\s?(.*)", text):
                rows.append([found[1]])
            elif (found := re.match(r"-\s?(.*)", text)) and rows:
                rows[-1].append(found[1])
            elif text and rows and not text.startswith(":"):
                rows[-1][-1] += f" {text}"
            self.at += 1
        self._table(rows, start)


def _more(lines: list[str]) -> bool:
    """Whether a table goes on below an empty line: its last rule comes before the next one."""
    for line in lines[1:]:
        if not line.strip():
            return False
        if _SIMPLE.match(line):
            return True
    return False


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())
