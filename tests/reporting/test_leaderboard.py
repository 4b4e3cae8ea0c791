"""What was measured, ranked; and who may see it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fetcher.reporting import leaderboard
from fetcher.reporting import saved as reports
from fetcher.reporting.envelope import Answer
from tests.conftest import Cli, write_project

RECORD = "task: image-compression, metrics: [psnr, lpips], owner: Me"
MANIFEST = f"""\
artifacts:
  good: {{source: hf:o/good, name: '<b>Good</b>', {RECORD}, visibility: public,
    probe: {{type: compression, dataset: kodak24}}}}
  better: {{source: hf:o/better, {RECORD}, visibility: public,
    probe: {{type: compression, dataset: kodak24}}}}
  unsaid: {{source: hf:o/unsaid, {RECORD}}}
  secret: {{source: hf:o/secret, {RECORD}, visibility: private}}
  ours: {{source: hf:o/ours, {RECORD}, visibility: organization}}
  here: {{source: 'local:w', {RECORD}}}
  llm: {{source: hf:o/llm, task: text-generation, visibility: public}}
"""
IDS = ("good", "better", "unsaid", "secret", "ours", "here", "llm")


def result(artifact: str, state: str = "passed", **metrics: Any) -> dict[str, Any]:
    return {"artifact": artifact, "type": "compression", "state": state, "metrics": metrics}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    layout = "tree:\n" + "".join(f"  {name}/: {name}\n" for name in IDS)
    write_project(tmp_path, "codecs", MANIFEST, layout)
    found = Answer(
        results=[
            result("good", psnr=30.5, lpips=0.2, device="cpu", dtype="float32", infer_seconds=1.5),
            result("better", psnr=31.0, lpips=0.3, parameters=10**9),
            result("secret", psnr=99.0),
            result("unsaid", psnr=98.0),
            result("ours", psnr=50.0),
            result("here", psnr=60.0),
            result("llm", infer_seconds=0.5, peak_memory_bytes=4_000_000_000, nan=float("nan")),
            result("unknown", psnr=100.0),
            result("good", state="failed", psnr=-5.0),
        ]
    )
    reports.save(tmp_path, "verify", found)
    return tmp_path


def ranking(cli: Cli, *flags: str) -> list[tuple[str, int | None, str]]:
    found = cli("report", "--json", *flags).json["results"]
    return [(item["metric"], item["rank"], item["id"]) for item in found]


def test_the_best_comes_first_and_private_models_stay_out(cli: Cli, project: Path) -> None:
    assert ranking(cli) == [
        ("psnr", 1, "better"),
        ("psnr", 2, "good"),
        ("infer_seconds", 1, "llm"),
    ]
    assert ranking(cli, "--metric", "lpips") == [
        ("lpips", 1, "good"),
        ("lpips", 2, "better"),
        ("lpips", None, "llm"),
    ]
    assert ranking(cli, "--task", "text-generation") == [("infer_seconds", 1, "llm")]
    everyone = ranking(cli, "--visibility", "private", "--task", "image-compression")
    assert {name for _, _, name in everyone} == {
        "good",
        "better",
        "unsaid",
        "secret",
        "ours",
        "here",
    }
    organization = ranking(cli, "--visibility", "organization", "--task", "image-compression")
    assert {name for _, _, name in organization} == {"good", "better", "ours"}
    shown = cli("report").out
    assert "image-compression on kodak24, by psnr (higher is better)" in shown
    assert "secret" not in shown and "4 measurements left out as not public" in shown
    assert ranking(cli, "--metric", "LPIPS", "--task", "Image Compression") == [
        ("lpips", 1, "good"),
        ("lpips", 2, "better"),
    ]
    assert "unsaid" not in shown, "nothing is public because a field was left out"
    assert "nothing has been measured by it" in cli("report", "--metric", "psnrr").err


def test_the_page_is_safe_and_has_nothing_private(cli: Cli, project: Path) -> None:
    assert cli("report", "--html", "out/board.html").code == 0
    page = (project / "out/board.html").read_text()
    assert "&lt;b&gt;Good&lt;/b&gt;" in page and "<b>" not in page
    assert "30.5" in page and "0.5 s" in page and "4.00 GB" in page
    for word in ("secret", "ours", "<script", "http://", "https://"):
        assert word not in page


def test_what_lies_in_the_folder_is_only_data(cli: Cli, project: Path) -> None:
    folder = reports.folder_of(project)
    (folder / "verify.json").unlink()
    assert "nothing has been measured yet" in cli("report").out
    for number, text in enumerate(
        (
            "{",
            "[]",
            '{"schema": "other"}',
            '{"schema": "fetch.report/1", "results": 5}'.replace("5", "[5, null, {}]"),
            '{"schema": "fetch.report/1", "results": [{"artifact": "good", "metrics": 3}]}',
            '{"schema": "fetch.report/1", "results": [{"artifact": ["x"], "metrics": {}}]}',
            '{"schema": "fetch.report/1", "results": [{"artifact": "good", "metrics":'
            ' {"psnr": "high", "bpp": true, "benchmarks": {"cifar10": {"psnr": 9}, "x": 1}}}]}',
        )
    ):
        (folder / f"verify-{number}.json").write_text(text)
    found = cli("report", "--json")
    assert found.code == 0
    assert [(i["benchmark"], i["value"]) for i in found.json["results"]] == [("cifar10", 9.0)]


def test_a_later_run_keeps_what_others_found_out(project: Path) -> None:
    again = Answer(results=[result("good", psnr=33.0)])
    reports.save_results(project, "verify", again, "2026-01-02T03:04:05Z")
    saved = json.loads((reports.folder_of(project) / "verify.json").read_text())["results"]
    assert [item["artifact"] for item in saved].count("good") == 1
    assert {"better", "secret"} <= {item["artifact"] for item in saved}
    assert next(i for i in saved if i["artifact"] == "good")["time"] == "2026-01-02T03:04:05Z"
    assert (project / ".fetch/.gitignore").exists()


def test_ties_share_a_rank_and_the_title_says_what_is_better(cli: Cli, project: Path) -> None:
    found = Answer(results=[result("good", bpp=1.0), result("better", bpp=1.0)])
    reports.save(project, "verify", found)
    assert ranking(cli, "--metric", "bpp") == [("bpp", 1, "better"), ("bpp", 1, "good")]
    assert "(lower is better)" in cli("report").out
    assert leaderboard.less_is_better("val_loss") and not leaderboard.less_is_better("psnr")
