"""Plots: figures in their places, names as text, whatever the numbers."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from fetcher.web import plots


@pytest.mark.parametrize(
    "values", [[1.0, 2.0], [0.0], [-3.0, -1.0], [5.0] * 20, [1e-300, 1e300], [0.0, 0.0]]
)
def test_plots_are_sound_and_stay_in_their_frame(values: list[float]) -> None:
    name = '<b>"&한국어 이름이 아주 길어서 자리가 없다'
    bars = str(plots.bars([(name, value, f"{value:.3g}") for value in values], "a < b"))
    points = str(plots.scatter([(name, value, value) for value in values], "t", "bpp", "psnr"))
    for text in filter(None, (bars, points)):
        root = ElementTree.fromstring(text)
        assert "<b>" not in text and "style" not in text
        frame = root.get("viewBox", f"0 0 100 {root.get('height')}")  # bars are in per cent
        width, height = map(float, frame.split()[2:])
        numbers = re.findall(r'[ c](?:x|width)="([-\d.einfa]+)%?"', text)
        assert numbers and all(0 <= float(number) <= width for number in numbers)
        tall = re.findall(r'(?:y|cy)="([-\d.einfa]+)"', text)
        assert all(0 <= float(number) <= height for number in tall)
    assert (points == "") == (len(values) < 2)


def test_longer_bars_are_larger_values() -> None:
    text = str(plots.bars([("a", 2.0, "2"), ("b", 1.0, "1")], "t"))
    first, second = (float(found) for found in re.findall(r'rect[^>]* width="([\d.]+)%"', text))
    assert first == pytest.approx(2 * second)
    assert plots.bars([], "t") == ""
