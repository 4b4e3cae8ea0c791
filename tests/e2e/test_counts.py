"""Bar, sentence and JSON count the same: files and bytes of runs of several kinds."""

from __future__ import annotations

import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest

from fetcher.reporting import envelope
from fetcher.ui.meter import Figures
from fetcher.ui.progress import Progress
from fetcher.ui.units import human_bytes
from tests.conftest import Cli, write_project
from tests.servers.hub import HubServer

MORE = b"more" * 2000
CONFIG = len(b'{"a": 1}\n')


class Runs:
    """Runs `fetch all`; each is asked what its bar showed last, its sentence and its JSON."""

    def __init__(self, cli: Cli, patch: pytest.MonkeyPatch) -> None:
        self._cli = cli
        self._frames: list[Figures] = []
        self._sentences: list[str] = []
        end, print_json = Progress.end, envelope.print_json

        def ended(progress: Progress, **how: Any) -> None:
            end(progress, **how)
            self._frames.append(progress.meter.look())

        def printed(report: Any) -> None:
            self._sentences.append(envelope.summary_line(report))
            print_json(report)

        patch.setattr(Progress, "end", ended)
        patch.setattr(envelope, "print_json", printed)

    def all(self, *names: str, code: int = 0) -> tuple[dict[str, Any], Figures | None]:
        """One run's summary and last frame (None where nothing was to come), which agree."""
        self._frames.clear()
        result = self._cli("all", "--json", *names)
        assert result.code == code, result.err
        summary = dict(result.json["summary"])
        files = [file for artifact in result.json["artifacts"] for file in artifact["files"]]
        assert len(files) == summary["files"]
        assert sum(file["size"] or 0 for file in files) == summary["bytes"]
        assert sum(file["state"] == "placed" for file in files) == summary["placed_files"]
        wrong = [file for file in files if file["state"] not in {"placed", "present"}]
        assert len(wrong) == summary["failed_files"]
        told = self._sentences[-1]
        assert told.startswith(f"{summary['files']} file")
        assert f", {human_bytes(summary['bytes'])}, " in told
        assert f"downloaded {human_bytes(summary['downloaded_bytes'])}" in told
        assert f"placed {summary['placed_files']}," in told
        failed = re.search(r"(\d+) failed", told)
        assert int(failed[1] if failed else 0) == summary["failed_files"]
        frame = next((frame for frame in self._frames if frame.total_files), None)
        if frame is None:
            assert summary["downloaded_files"] == summary["downloaded_bytes"] == 0
        else:
            assert frame.failed == summary["failed_files"]
            assert (frame.share == 1) is (code == 0)
            assert frame.files + frame.failed == frame.total_files
        return summary, frame


def test_runs_of_several_kinds(
    tmp_path: Path,
    cli: Cli,
    hub: HubServer,
    hermetic: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub.add_repo("o/n", {"same.json": b'{"a": 1}\n', "more.bin": MORE})
    (tmp_path / "up").mkdir()
    with zipfile.ZipFile(tmp_path / "up/a.zip", "w") as archive:
        for name in ("one.txt", "two.txt"):
            archive.writestr(name, name)
    write_project(
        tmp_path,
        "p",
        "artifacts:\n  m: {source: 'hf:o/m', exclude: .gitattributes}\n"
        "  n: {source: 'hf:o/n'}\n  z: {source: 'local:up', unpack: true, optional: true}\n",
        "tree:\n  models/m/: m\n  n/: n\n  z/: z\n",
    )
    runs = Runs(cli, monkeypatch)

    def lost(*folders: str) -> None:
        for folder in (*(tmp_path / name for name in folders), hermetic / "store"):
            shutil.rmtree(folder)

    fresh, frame = runs.all()
    assert (fresh["files"], fresh["placed_files"], fresh["downloaded_files"]) == (5, 5, 4), "a twin"
    assert frame is not None and frame.files == fresh["downloaded_files"]
    assert frame.bytes == fresh["downloaded_bytes"] == fresh["bytes"] - CONFIG
    nothing, frame = runs.all()
    assert frame is None and nothing["reused_files"] == 5 and nothing["placed_files"] == 0
    shutil.rmtree(tmp_path / "models")
    stored, frame = runs.all()
    assert frame is not None and frame.files == 3 == stored["placed_files"], "from the store"
    assert stored["reused_files"] == 5 and stored["downloaded_bytes"] == 0
    unpacked, frame = runs.all("z")
    assert unpacked["files"] == unpacked["placed_files"] == 2, "members count, not the archive"
    assert frame is not None and frame.files == 1
    lost("n")
    (tmp_path / "here").write_bytes(MORE)
    assert cli("adopt", "here").code == 0
    adopted, frame = runs.all()
    assert frame is not None and frame.files == 2 and adopted["downloaded_bytes"] == CONFIG
    assert frame.bytes == CONFIG + len(MORE), "what is placed from the store as well"
    assert adopted["placed_files"] == 2 and adopted["reused_files"] == 4
    lost("models")
    hub.faults.add("GET /o/m/resolve/.*vocab", "status", code=404)
    failed, frame = runs.all(code=3)
    assert frame is not None and frame.files == failed["placed_files"]
    assert failed["failed_files"] == frame.failed == 1 and failed["placed_files"] == 2
    hub.faults.clear()
    lost("models")
    hub.cdn.faults.add("GET", "cut", n=1_000_000, times=2)
    resumed, frame = runs.all()
    assert frame is not None and frame.files == resumed["placed_files"]
    assert resumed["downloaded_bytes"] <= frame.bytes, "no byte came twice"
    assert resumed["downloaded_files"] == 2
