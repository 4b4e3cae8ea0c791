"""What a run takes from this machine, and what it tells programs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import snapshot_download

from tests.conftest import Cli
from tests.e2e.conftest import WEIGHTS, files_below
from tests.servers.hub import HubServer


def test_what_a_hugging_face_cache_holds_is_linked(
    project: Path, hub: HubServer, cli: Cli, hermetic: Path
) -> None:
    snapshot_download("o/m", endpoint=hub.url, cache_dir=hermetic / "huggingface/hub")
    before = len(hub.matching("GET /o/m/resolve"))
    found = cli("all", "--json").json
    assert len(hub.matching("GET /o/m/resolve")) == before
    assert found["summary"]["downloaded_bytes"] == 0 and found["ok"]
    assert {file["source"] for file in found["artifacts"][0]["files"]} == {"hf-cache"}
    assert files_below(project / "models")["m/model.safetensors"] == WEIGHTS
    blob = next(
        path
        for path in (hermetic / "huggingface/hub/models--o--m/blobs").iterdir()
        if path.stat().st_size == len(WEIGHTS)
    )
    placed = project / "models/m/model.safetensors"
    assert not os.path.samefile(blob, placed), "what the cache has is not ours to make read-only"
    assert blob.stat().st_mode & 0o200
    for folder in (project / "models", project / ".fetch", hermetic / "store"):
        shutil.rmtree(folder)
    assert cli("all", "--link", "hardlink").code == 0
    assert os.path.samefile(blob, placed), "no second copy, if the person says so"
    assert cli("all", "--offline").code == 0


@pytest.mark.parametrize("damage", ["flip", "short", "link"])
def test_a_cache_is_not_trusted(
    project: Path, hub: HubServer, cli: Cli, hermetic: Path, damage: str
) -> None:
    snapshot_download("o/m", endpoint=hub.url, cache_dir=hermetic / "huggingface/hub")
    for blob in (hermetic / "huggingface/hub/models--o--m/blobs").iterdir():
        data = blob.read_bytes()
        blob.unlink()
        if damage == "link":
            (hermetic / "elsewhere").write_bytes(data)
            blob.symlink_to(hermetic / "elsewhere")
        else:
            blob.write_bytes(data[:-1] if damage == "short" else bytes([data[0] ^ 1]) + data[1:])
    found = cli("all", "--json").json
    assert found["ok"]
    assert {file["source"] for file in found["artifacts"][0]["files"]} == {"huggingface"}
    assert files_below(project / "models")["m/model.safetensors"] == WEIGHTS


def test_a_gated_repository_in_the_cache_needs_no_token(
    project: Path, hub: HubServer, cli: Cli, hermetic: Path
) -> None:
    snapshot_download("o/m", endpoint=hub.url, cache_dir=hermetic / "huggingface/hub")
    assert cli("lock").code == 0
    hub.repos["model", "o/m"].gated = "auto"
    assert cli("all").code == 0


def test_events(project: Path, hub: HubServer, cli: Cli, tmp_path: Path) -> None:
    hub.faults.add("vocab", "status", code=404)
    assert cli("all", "--json-events", "events.jsonl").code == 3
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    kinds = [event["event"] for event in events]
    assert kinds[0] == "begin" and kinds[-1] == "end"
    assert all(isinstance(event["time"], float) for event in events)
    assert events[0]["files"] == 3 and events[0]["bytes"] == len(WEIGHTS) + 17
    files = {event["path"]: event for event in events if event["event"] == "file"}
    assert files["config.json"]["state"] == "done"
    assert files["model.safetensors"]["source"] == "huggingface"
    assert files["sub/vocab.txt"]["state"] == "failed"
    assert files["sub/vocab.txt"]["code"] == "not-found"
    assert events[-1]["exit_code"] == 3 and events[-1]["summary"]["failed_files"] == 1


def test_events_tell_of_progress_and_of_waiting(
    project: Path, hub: HubServer, cli: Cli, tmp_path: Path
) -> None:
    hub.faults.add("GET /o/m/resolve/.*vocab", "status", code=429, retry_after=3, times=1)
    assert cli("all", "--json-events", "events.jsonl").code == 0
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    progress = [event for event in events if event["event"] == "progress"]
    assert progress and progress[-1]["total_files"] == 3
    assert any(" s, HTTP 429)" in host for event in progress for host in event["waiting"])
    assert any(e["event"] == "message" and "asks to wait 3 s" in e["text"] for e in events)


def test_a_reader_that_goes_away_ends_nothing(project: Path, cli: Cli) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert cli("all", "--json-events", f"/dev/fd/{writer}").code == 0
    finally:
        os.close(writer)


def test_events_that_cannot_be_written(project: Path, cli: Cli) -> None:
    result = cli("all", "--json-events", "absent/events")
    assert result.code == 2 and "--json-events absent/events" in result.err


@pytest.mark.parametrize("streams", ["stdout", "both"])
@pytest.mark.parametrize("command", [["--help"], ["schema", "manifest"], ["no-such-command"]])
def test_a_reader_that_goes_away_is_no_error(command: list[str], streams: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "fetcher", *command],
        stdout=writer,
        stderr=writer if streams == "both" else subprocess.PIPE,
        timeout=60,
        check=False,
    )
    os.close(writer)
    wrong = command == ["no-such-command"] and streams == "stdout"
    assert done.returncode == (2 if wrong else 0)
    assert wrong or not done.stderr, done.stderr
