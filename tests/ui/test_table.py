"""Tables that fit: shortened, then dropped by rank; whole where nobody looks."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetcher.ui.table import Column, lines, print_table, without_empty
from fetcher.ui.terminal import shorten, width_of

from .screens import Terminal

COLUMNS = (
    Column("NAME", least=8, at="middle"),
    Column("TASK", rank=1, least=6),
    Column("SIZE", rank=2, right=True),
    Column("SOURCE", rank=3, least=10),
)
ROWS = [
    ("polyglot-ko-1.3b-fine-tuned", "text-generation", "5.2 GB", "hf:owner/polyglot-ko-1.3b"),
    ("mtcnn", "face-detection", "1.6 MB", "github:timesler/facenet-pytorch"),
]
TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=30
)


def test_a_pipe_gets_every_letter() -> None:
    out = io.StringIO()
    print_table(COLUMNS, ROWS, out)
    assert out.getvalue().splitlines() == [
        "NAME                         TASK               SIZE  SOURCE",
        "polyglot-ko-1.3b-fine-tuned  text-generation  5.2 GB  hf:owner/polyglot-ko-1.3b",
        "mtcnn                        face-detection   1.6 MB  github:timesler/facenet-pytorch",
    ]


@pytest.mark.parametrize(
    ("width", "heading", "row"),
    [
        (
            70,
            "NAME                         TASK               SIZE  SOURCE",
            "polyglot-ko-1.3b-fine-tuned  text-generation  5.2 GB  hf:owner/polyg…",
        ),
        (40, "NAME      TASK       SIZE  SOURCE", "polyglo…ned"),
        (30, "NAME        TASK      SIZE", "polyg…uned  text-…  5.2 GB"),
        (20, "NAME        TASK", "polyg…uned  text-…"),
        (12, "NAME", "polyglo…uned"),
    ],
)
def test_a_terminal_gets_what_fits(
    monkeypatch: pytest.MonkeyPatch, width: int, heading: str, row: str
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(width))
    out = Terminal(width)
    print_table(COLUMNS, ROWS, out)
    assert len(out.shown) == 3 and all(len(line) <= width for line in out.shown)
    assert out.shown[0].split() == heading.split()
    assert out.shown[1].split()[0][:5] == row[:5]
    assert ("SIZE" in heading) == ("5.2 GB" in out.shown[1])


@given(
    st.lists(st.tuples(TEXT, TEXT, TEXT, TEXT), max_size=5),
    st.integers(1, 150),
)
def test_no_line_is_wider_than_it_may_be(rows: list[tuple[str, ...]], width: int) -> None:
    found = lines(COLUMNS, rows, width)
    assert len(found) == len(rows) + 1
    assert all(width_of(line) <= width for line in found)


@given(TEXT, st.integers(0, 40), st.sampled_from(["start", "middle", "end"]))
def test_shortened_texts_fit_and_say_so(text: str, width: int, at: str) -> None:
    found = shorten(text, width, at)  # type: ignore[arg-type]
    assert width_of(found) <= width
    assert found == text or width < 2 or "…" in found


def test_a_long_last_cell_of_a_short_row_widens_nothing() -> None:
    columns = (Column("A"), Column("B"), Column("C"))
    assert lines(columns, [("a", "a long text to the end of the line"), ("b", "c", "d")]) == [
        "A  B  C",
        "a  a long text to the end of the line",
        "b  c  d",
    ]


def test_columns_that_say_nothing_are_left_out() -> None:
    columns, rows = without_empty(COLUMNS, [("-", "-", "", "x"), ("a", "", "-", "-")])
    assert [column.title for column in columns] == ["NAME", "SOURCE"]
    assert rows == [["-", "x"], ["a", "-"]]
