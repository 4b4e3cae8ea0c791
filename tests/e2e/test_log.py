"""What a run's log tells: enough to explain a fault, and nothing that is secret."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import write_project
from tests.servers.hub import HubServer

TOKEN = "hf_VerySecretTokenValue123"
PASSWORD = "correct-horse-battery"


def fetch(root: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fetcher", *arguments],
        cwd=root,
        env={**os.environ, **more},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def secretive(project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A project whose run knows a token, a password in netrc and one in a mirror's address."""
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine proxy.example\nlogin me\npassword {PASSWORD}\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    return project


def test_faults_are_explained_and_no_secret_is_told(secretive: Path, hub: HubServer) -> None:
    hub.add_token(TOKEN)
    hub.faults.add("GET /o/m/resolve/.*vocab", "status", code=404, body=f"no {TOKEN} here")
    hub.faults.add("GET /o/m/resolve/.*config", "status", code=429, retry_after=2, times=1)
    mirror = f"http://me:{PASSWORD}@127.0.0.1:9/mirror"
    result = fetch(
        secretive, "all", "-vv", FETCH_LOG="run.log", FETCH_MIRRORS=mirror, HF_HUB_VERBOSITY="debug"
    )
    assert result.returncode == 3, result.stderr
    text = (secretive / "run.log").read_text("utf-8")
    told = [
        r"run: fetch \S+ all -vv",
        r"project\.lockfile: p/m is not taken from the lock: it has no entry",
        r"project\.resolve: p/m: asking hf:o/m",
        r"project\.resolve: p/m: \S+ resolved to [0-9a-f]{40}, 3 files",
        r"tree\.planner: p/m: get models/m/config\.json and 2 more: not in the tree, and no sound",
        r"mirror\.locations: mirror 127\.0\.0\.1:9 is opened|mirror 127\.0\.0\.1:9 is refused: ",
        r"asks to wait \d s \(HTTP 429\)",
        r"m/config\.json is there, 9 bytes came from huggingface",
        r"m/sub/vocab\.txt failed: not-found: ",
        r"run: exit code 3 after \d",
    ]
    at = 0
    for pattern in told:
        assert re.search(pattern, text), pattern
    for pattern in (told[0], told[1], told[3], told[4], told[8], told[9]):  # in their order
        found = re.compile(pattern).search(text, at)
        assert found is not None, pattern
        at = found.start()
    for output in (text, result.stderr, result.stdout):
        assert TOKEN not in output and PASSWORD not in output
    # Every line is a record, or belongs to the one above it.
    assert all(re.match(r"\d{4}-\d\d-\d\dT|    |$", line) for line in text.split("\n"))


def test_what_a_server_says_and_where_it_sends_us(project: Path, hub: HubServer) -> None:
    words = "<Error><Code>SlowDown</Code><Message>Quota of eu-1</Message><Token-0>FwoGZX</Token-0>"
    hub.cdn.faults.add("GET", "status", code=403, body=words)
    result = fetch(project, "all", "-vv")
    assert result.returncode == 3, result.stderr
    cdn = f"127.0.0.1:{hub.cdn.port}"
    assert re.search(rf"model\.safetensors: redirected to http://{cdn}/\S+", result.stderr)
    assert f"{cdn} 403: Renew, it says 'SlowDown: Quota of eu-1'" in result.stderr
    assert "FwoGZX" not in result.stderr and "X-Amz-Signature=" not in result.stderr
    hub.faults.add("GET /api", "status", code=429, retry_after=400, body="too many of you")
    (project / "fetch.lock").unlink()
    result = fetch(project, "all", "-vv")
    assert result.returncode == 3, result.stderr
    assert "it asks to wait 400 s, and 330 s are the most" in result.stderr
    assert f"127.0.0.1:{hub.port} says 'too many of you'" in result.stderr
    assert "Incremented Retry" not in result.stderr


def test_why_a_tree_is_looked_at_again(project: Path, hub: HubServer) -> None:
    assert fetch(project, "all").returncode == 0
    quiet = fetch(project, "all", "-v")
    assert "every file is looked at" not in quiet.stderr
    path = project / "models/m/config.json"
    os.utime(path, ns=(1, 1))
    touched = fetch(project, "all", "-v")
    assert "tree.uptodate: every file is looked at: models/m/config.json has another time" in (
        touched.stderr
    )
    path.unlink()
    gone = fetch(project, "all", "-v")
    assert "models/m/config.json is not there as it was: No such file" in gone.stderr
    (project / "manifests/p.yaml").write_text(
        (project / "manifests/p.yaml").read_text() + "# changed\n"
    )
    changed = fetch(project, "all", "-v")
    assert "no run with these options, manifests and lock has left this tree" in changed.stderr


def test_a_plan_of_many_files_is_a_few_lines(tmp_path: Path) -> None:
    root = tmp_path / "project"
    (root / "source").mkdir(parents=True)
    for number in range(300):
        (root / f"source/{number:03}.txt").write_text(str(number))
    write_project(
        root,
        "p",
        "artifacts:\n  many:\n    source: local:source\n",
        "tree:\n  many/: many\n",
    )
    result = fetch(root, "all", "-vv")
    assert result.returncode == 0, result.stderr
    planned = [line for line in result.stderr.splitlines() if "tree.planner: " in line]
    assert len(planned) == 1 and "many/000.txt and 299 more" in planned[0]


def test_a_run_with_nothing_to_do_loads_no_logging(project: Path, hub: HubServer) -> None:
    assert fetch(project, "all").returncode == 0
    code = (
        "import sys; from fetcher.commands import run\n"
        "assert run(['all']) == 0\n"
        "heavy = {'logging', 'tqdm', 'yaml', 'pycurl', 'fetcher.ui.log', 'fetcher.ui.bar'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=project, check=True)
