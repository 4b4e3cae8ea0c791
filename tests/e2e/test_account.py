"""The Hub's account end to end: logins that are refreshed, switched, exchanged, or refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fetcher.config.settings import load
from fetcher.network.hub_account import HubAccount
from tests.conftest import Cli, write_project
from tests.servers.hub import HubServer
from tests.servers.wire import Request

OLDEST = os.environ.get("FETCH_TEST_OLDEST_HUB", "")
ORACLE = "from huggingface_hub import get_token; print(get_token() or '')"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with HubServer() as server:
        server.add_repo("o/closed", {"w.bin": b"weights" * 100, "a.txt": b"a"}, private=True)
        server.add_repo("o/open", {"a.txt": b"open"})
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server
        assert server.errors == [] and server.cdn.leaks == []


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write_project(tmp_path, "p", "artifacts:\n  m: {source: hf:o/closed}\n", "tree: {m/: m}\n")
    return tmp_path


def log_in(home: Path, access: str, refresh: str = "", expires: float = -60) -> Path:
    """What `hf auth login` leaves, in a browser (with `refresh`) or with a pasted token."""
    folder = home / "huggingface"
    folder.mkdir(exist_ok=True)
    (folder / "token").write_text(access)
    more = f"refresh_token = {refresh}\nexpires_at = {time.time() + expires:.0f}\n"
    (folder / "stored_tokens").write_text(f"[mine]\nhf_token = {access}\n{more if refresh else ''}")
    return folder


def fetch(cwd: Path, *arguments: str, path: str = "") -> subprocess.CompletedProcess[str]:
    """In a process of its own: huggingface_hub reads its variables when it is imported."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [path, *sys.path]))}
    return subprocess.run(
        [sys.executable, "-m", "fetcher", *arguments],
        cwd=cwd,
        env=environment,
        text=True,
        capture_output=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("command", ["lock", "all"])
def test_a_token_that_only_the_refreshed_value_opens(
    project: Path, hub: HubServer, hermetic: Path, command: str
) -> None:
    hub.add_login("hf_old", "refresh-0", private=["o/closed"])
    folder = log_in(hermetic, "hf_old", "refresh-0")
    done = fetch(project, command)
    assert done.returncode == 0, done.stderr
    assert hub.given == ["hf_oauth_given1"]  # asked once, by however many threads and processes
    assert (folder / "token").read_text() == "hf_oauth_given1"
    assert "refresh-1" in (folder / "stored_tokens").read_text()
    assert all("hf_old" not in str(request.headers) for request in hub.requests)
    for text in (done.stdout, done.stderr, (project / "fetch.lock").read_text()):
        assert "hf_o" not in text and "refresh-" not in text
    # The next run finds it fresh.
    assert fetch(project, "lock", "--update", "m").returncode == 0 and len(hub.given) == 1


def test_a_login_that_cannot_be_refreshed(project: Path, hub: HubServer, hermetic: Path) -> None:
    log_in(hermetic, "hf_old", "revoked")
    done = fetch(project, "lock")
    assert done.returncode == 6
    assert "the Hub refused the token" in done.stderr and "hf auth login" in done.stderr


def test_the_oldest_huggingface_hub_cannot_refresh_and_says_so(
    project: Path, hub: HubServer, hermetic: Path
) -> None:
    if not OLDEST:
        pytest.skip("FETCH_TEST_OLDEST_HUB is not set: `make test` sets it")
    hub.add_login("hf_old", "refresh-0", private=["o/closed"])
    log_in(hermetic, "hf_old", "refresh-0")
    done = fetch(project, "lock", path=OLDEST)
    assert done.returncode == 6 and hub.given == []
    assert "huggingface_hub 0.30" in done.stderr and "pip install -U" in done.stderr


def test_a_switch_while_it_runs(project: Path, hub: HubServer, hermetic: Path) -> None:
    """`hf auth switch`, or another process that refreshed: the file has another token by now."""
    hub.add_token("hf_second", private=["o/closed"])
    folder = log_in(hermetic, "hf_first")
    account = HubAccount(load(project))
    assert account.token() == "hf_first"
    (folder / "token").write_text("hf_second\n")
    assert account.token() == "hf_first"  # not looked at for each request
    assert not account.renew("hf_other") or account.token() == "hf_first"
    assert account.renew("hf_first") and account.token() == "hf_second"
    assert not account.renew("hf_second")


def test_a_refused_token_is_asked_for_once_more(
    project: Path, hub: HubServer, hermetic: Path, cli: Cli
) -> None:
    hub.add_token("hf_second", private=["o/closed"])
    folder = log_in(hermetic, "hf_first")

    def switched(request: Request) -> bool:
        return request.token == "hf_first" and bool((folder / "token").write_text("hf_second"))

    hub.faults.add(switched, "status", code=401)
    assert cli("lock").code == 0
    assert [r.token for r in hub.requests][:2] == ["hf_first", "hf_second"]


def test_a_trusted_job(
    project: Path, hub: HubServer, hermetic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.trusted_jobs["id-of-the-job"] = {"private": ["o/closed"]}
    monkeypatch.setenv("HF_OIDC_RESOURCE", "o/closed")
    monkeypatch.setenv("HF_OIDC_ID_TOKEN", "id-of-the-job")
    done = fetch(project, "all")
    assert done.returncode == 0, done.stderr
    assert fetch(project, "config").stdout.count("HF_OIDC_RESOURCE") == 1
    monkeypatch.setenv("HF_OIDC_ID_TOKEN", "another")
    done = fetch(project, "lock", "--update", "m")
    assert done.returncode == 6 and "HF_OIDC_RESOURCE" in done.stderr


def test_none_is_sent_where_that_is_asked_for(
    project: Path, hub: HubServer, hermetic: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in(hermetic, "hf_first")
    monkeypatch.setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")
    assert cli("lock").code == 6
    assert all(request.token is None for request in hub.requests)


@pytest.mark.parametrize("path", ["", OLDEST], ids=["newest", "oldest"])
@pytest.mark.parametrize("case", ["nothing", "file", "elsewhere", "spaces", "empty", "stored"])
def test_the_token_is_what_huggingface_hub_says(
    tmp_path: Path, hermetic: Path, case: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not path and "oldest" in os.environ["PYTEST_CURRENT_TEST"]:
        pytest.skip("FETCH_TEST_OLDEST_HUB is not set: `make test` sets it")
    if case in {"file", "stored"}:
        log_in(hermetic, "hf_first")
    if case == "stored":  # of several, the active one lies in the file
        stored = hermetic / "huggingface/stored_tokens"
        stored.write_text(stored.read_text() + "[work]\nhf_token = hf_work\n")
    if case in {"spaces", "empty"}:
        (hermetic / "huggingface").mkdir()
        (hermetic / "huggingface/token").write_text(" hf_first \r\n" if case == "spaces" else "\n")
    if case == "elsewhere":
        (tmp_path / "secret").write_text("hf_mounted")
        monkeypatch.setenv("MOUNTED", str(tmp_path))
        monkeypatch.setenv("HF_TOKEN_PATH", "$MOUNTED/secret")
    environment = {**os.environ, "PYTHONPATH": path}
    told = subprocess.run(
        [sys.executable, "-c", ORACLE], env=environment, capture_output=True, text=True, check=True
    )
    assert HubAccount(load(tmp_path)).token() == told.stdout.strip()


def test_who_has_no_account_waits_for_no_import(
    tmp_path: Path, hub: HubServer, hermetic: Path
) -> None:
    write_project(tmp_path, "p", "artifacts:\n  m: {source: hf:o/open}\n", "tree: {m/: m}\n")
    code = (
        "import sys; from fetcher.commands import run; assert run(['{0}']) == 0;"
        "print(sorted({{'huggingface_hub', 'requests', 'pycurl'}} & set(sys.modules)))"
    )

    def imported(command: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code.format(command)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.splitlines()[-1]

    assert imported("lock") == "['requests']"
    log_in(hermetic, "hf_first")  # a token that just lies there
    hub.add_token("hf_first")
    (tmp_path / "fetch.lock").unlink()
    assert imported("lock") == "['requests']"
    assert imported("all") != "['huggingface_hub']"
    # Locked, in the store, and the tree is gone: nothing is asked.
    for name in ("m", ".fetch"):
        subprocess.run(["rm", "-rf", tmp_path / name], check=True)
    assert "requests" not in imported("all")


def test_where_the_token_comes_from_is_told(
    project: Path, hub: HubServer, hermetic: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in(hermetic, "hf_very_secret", "refresh_secret", 90 * 86400)
    found = {item["name"]: item for item in cli("config", "--json").json["results"]}
    assert found["hf_token"]["value"] == "(set)"
    assert found["hf_token"]["origin"].endswith("huggingface/token (hf auth login)")
    doctor = cli("doctor").out
    assert "set, by" in doctor and "hf auth login" in doctor
    monkeypatch.setenv("HF_TOKEN", "hf_very_secret")
    assert "set, by HF_TOKEN" in cli("doctor").out
    assert "secret" not in doctor + json.dumps(found)


COLAB = """
import builtins, sys, types
from pathlib import Path
colab, userdata, errors = (types.ModuleType(n) for n in ("colab", "userdata", "errors"))
userdata.get = lambda name: {"HF_TOKEN": "hf_vault"}[name]
userdata.NotebookAccessError = userdata.SecretNotFoundError = errors.Error = KeyError
colab.userdata = userdata
google = types.ModuleType("google")
google.colab = colab
sys.modules |= {"google": google, "google.colab": colab, "google.colab.userdata": userdata,
                "google.colab.errors": errors}
builtins.get_ipython = lambda: "<google.colab._shell.Shell object>"
from fetcher.config.settings import load
from fetcher.network.hub_account import HubAccount
account = HubAccount(load(Path.cwd()))
print(account.origin(), account.token(), sep="|")
"""


@pytest.mark.parametrize("path", ["", OLDEST], ids=["newest", "oldest"])
def test_the_vault_of_colab(tmp_path: Path, hermetic: Path, path: str) -> None:
    if not path and "oldest" in os.environ["PYTEST_CURRENT_TEST"]:
        pytest.skip("FETCH_TEST_OLDEST_HUB is not set: `make test` sets it")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [path, *sys.path]))}
    done = subprocess.run(
        [sys.executable, "-c", COLAB],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "Colab's vault|hf_vault", done.stderr
