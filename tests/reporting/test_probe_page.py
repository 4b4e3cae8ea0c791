from __future__ import annotations

import base64

from fetcher.verify.contract import png
from fetcher.verify.contract.exhibits import Picture, Table
from fetcher.verify.contract.protocol import Check, ProbeResult, complete_metrics

from fetcher.reporting.probe_page import page

EVIL = '<img src=x onerror="alert(1)">\x1b[31m'


def test_a_page_shows_everything_and_runs_nothing() -> None:
    picture = png.encode(bytes(12), 2, 2, 3)
    metrics = complete_metrics({"parameters": 1_234_567, "seconds": 2.0, "psnr": 31.25, EVIL: EVIL})
    result = ProbeResult(
        EVIL,
        EVIL,
        "failed",
        EVIL,
        EVIL,
        (Check(EVIL, False, EVIL), Check("careful", True, "look out", warning=True)),
        metrics,
        f"line 1\n{EVIL}",
        (),
        (Table(EVIL, (EVIL, "n"), ((EVIL, 1.23456),), EVIL),),
        (Picture(EVIL, EVIL, 2, 2, picture),),
    )
    others = [ProbeResult("plain", "", "skipped", "no probe")]
    others.append(ProbeResult("large", "causal-lm", "skipped", "no GPU"))
    text = page([result, *others], ["", "", ""], EVIL, 1.0)
    assert "<img src=x" not in text and "onerror=" in text and "\x1b" not in text
    assert base64.b64encode(picture).decode() in text
    for told in ("1,234,567", "1.235", "31.25", "warning", "1 failed", "1 skipped", "line 1"):
        assert told in text, told
    assert "1 without a probe" in text
    assert "default-src 'none'" in text
