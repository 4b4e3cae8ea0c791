"""The text that Prometheus reads: escaped, whole, and read back by its own client."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetcher.reporting.prometheus import Metric, Sample, exposition

CALLS = Metric("fetch_calls_total", "counter", "Calls.")
LINE = re.compile(r'(\w+)(?:\{label="((?:[^"\\\n]|\\[\\n"])*)"\})? (\S+)')


def test_metrics_with_their_samples() -> None:
    gauge = Metric("fetch_size_bytes", "gauge", "A \\ and\na line.")
    text = exposition(
        [
            (CALLS, [Sample(2, {"part": "hub", "status": "200"}), Sample(True, {"part": "v2"})]),
            (gauge, [Sample(1.5)]),
            (Metric("fetch_none", "gauge", "Nothing."), []),
        ]
    )
    assert text == (
        "# HELP fetch_calls_total Calls.\n"
        "# TYPE fetch_calls_total counter\n"
        'fetch_calls_total{part="hub",status="200"} 2\n'
        'fetch_calls_total{part="v2"} 1\n'
        "# HELP fetch_size_bytes A \\\\ and\\na line.\n"
        "# TYPE fetch_size_bytes gauge\n"
        "fetch_size_bytes 1.5\n"
    )
    assert exposition([(CALLS, [])]) == ""


@pytest.mark.parametrize(
    ("value", "shown"),
    [(math.inf, "+Inf"), (-math.inf, "-Inf"), (math.nan, "NaN"), (1e300, "1e+300"), (0.1, "0.1")],
)
def test_numbers(value: float, shown: str) -> None:
    assert exposition([(CALLS, [Sample(value)])]).endswith(f"fetch_calls_total {shown}\n")


@given(st.text(max_size=30), st.floats())
def test_any_label_is_one_line_that_gives_it_back(label: str, value: float) -> None:
    text = exposition([(CALLS, [Sample(value, {"label": label})])])
    line = text.split("\n")[2]
    found = LINE.fullmatch(line)
    assert found and text.count("\n") == 3
    unescaped = re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], found[2])
    assert unescaped == label
    back = float(found[3])
    assert back == pytest.approx(value, abs=1e-6) or (math.isnan(back) and math.isnan(value))
