"""The log: what stands in it, where, and what never does."""

from __future__ import annotations

import base64
import io
import logging
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fetcher.errors import UsageError
from fetcher.ui import log
from fetcher.ui.meter import DOWNLOADING, InFlight
from fetcher.ui.progress import Progress
from fetcher.ui.redact import Redactor, of_environment, of_files

from .screens import Terminal


@pytest.fixture(autouse=True)
def quiet_afterwards() -> Iterator[None]:
    yield
    log.stop()


ours = logging.getLogger("fetcher.transfer.engine")
theirs = logging.getLogger("urllib3.connectionpool")


def told(verbosity: int) -> str:
    stream = io.StringIO()
    log.to_stderr(verbosity, stream)
    ours.debug("a request")
    ours.info("a step")
    theirs.debug("their request")
    theirs.warning("their trouble")
    return stream.getvalue()


def test_v_shows_our_steps_and_others_warnings() -> None:
    shown = told(1).splitlines()
    assert [line.partition(" ")[2] for line in shown] == [
        "transfer.engine: a step",
        "warning urllib3.connectionpool: their trouble",
    ]
    assert re.match(r"\d\d:\d\d:\d\d\.\d{3} ", shown[0])


def test_vv_shows_all() -> None:
    assert [line.split(": ")[1] for line in told(2).splitlines()] == [
        "a request",
        "a step",
        "their request",
        "their trouble",
    ]


def test_a_file_gets_all_of_it_with_date_and_level(tmp_path: Path) -> None:
    path = tmp_path / "fetch.log"
    path.write_text("before\n")
    screen = io.StringIO()
    log.to_file(path)
    log.to_stderr(1, screen)
    ours.debug("a request")
    theirs.debug("their request")
    log.stop()
    lines = path.read_text("utf-8").splitlines()
    assert lines[0] == "before" and len(lines) == 3
    when = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d"
    assert re.fullmatch(rf"{when} DEBUG   transfer\.engine: a request", lines[1])
    assert screen.getvalue() == ""
    assert not logging.getLogger().isEnabledFor(logging.DEBUG)


def test_a_new_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    log.to_file(tmp_path / "fetch.log")
    assert stat.S_IMODE((tmp_path / "fetch.log").stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["absent/fetch.log", "."])
def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="FETCH_LOG="):
        log.to_file(tmp_path / name)


def test_a_disk_that_fills_up_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    log.to_file(Path("/dev/full"))
    for _ in range(3):
        ours.info("a step")
    log.stop()
    assert capsys.readouterr().err.count("FETCH_LOG cannot be written any more") == 1


def test_no_line_can_be_forged(tmp_path: Path) -> None:
    log.to_file(tmp_path / "log")
    ours.info("a reason: %s", "x\n2026-01-01T00:00:00.000+00:00 INFO    run: all is well\x1b[2J\r")
    log.stop()
    lines = (tmp_path / "log").read_text("utf-8").split("\n")
    assert lines[1].startswith("    2026-01-01") and "\x1b" not in lines[1]
    assert "\\x1b[2J\\x0d" in lines[1]


def test_a_line_stands_above_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal(80)
    monkeypatch.setattr("fetcher.ui.progress._PATIENCE_SECONDS", 0.0)
    log.to_stderr(2, stream)
    progress = Progress(stream)
    progress._pause = 0.0
    progress.begin(1, 100)
    progress.watch(lambda: [InFlight("a", DOWNLOADING, 30, 100, 30)])
    progress.tick()
    ours.debug("a request")
    assert stream.shown[0].endswith("transfer.engine: a request")
    assert "30%" in stream.shown[1] and len(stream.shown) == 2
    progress.end()
    assert len(stream.shown) == 1


def test_what_people_saw_is_kept_but_not_said_twice(tmp_path: Path) -> None:
    screen = io.StringIO()
    log.to_file(tmp_path / "log")
    log.to_stderr(2, screen)
    Progress(screen).say("a host asks to wait")
    log.stop()
    assert screen.getvalue() == "a host asks to wait\n"
    assert "run: a host asks to wait" in (tmp_path / "log").read_text("utf-8")


# Secrets

SECRET = "s3cr3t/With+Odd=Chars"
QUOTED = "s3cr3t%2FWith%2BOdd%3DChars"


@pytest.mark.parametrize(
    "text",
    [
        f"GET /x?X-Amz-Signature={QUOTED}&X-Amz-Expires=1",
        f'"GET /f?a=1&Signature={QUOTED}&Key-Pair-Id=K HTTP/1.1" 200',
        f"https://h/p?sv=1&sig={QUOTED}",
        f"https://h/p?download=1&access_token={QUOTED}#x",
        f"https://h/login?next=https%3A%2F%2Fh%2Ff%3Ftoken%3D{QUOTED}%26a%3D1",
        f"https://h/p?AWSAccessKeyId={QUOTED}",
        f"https://user:{QUOTED}@proxy.example:8080/x",
        f"https://{QUOTED}@github.com/o/r",
        f"{{'Authorization': 'Bearer {SECRET}', 'Accept': '*/*'}}",
        f"{{'authorization': b'token {SECRET}'}}",
        f"> Proxy-Authorization: Basic {base64.b64encode(SECRET.encode()).decode()}",
        f"Cookie: FedAuth={SECRET}; rtFa={SECRET}",
        f"('Set-Cookie', 'session={SECRET}')",
        f"x-amz-security-token:{SECRET}",
        f"X-Xet-Access-Token: {SECRET}",
        f"it said: Bearer {SECRET}",
    ],
)
def test_forms_of_secrets_are_hidden(text: str) -> None:
    found = Redactor()(text)
    assert SECRET not in found and QUOTED not in found and "***" in found
    assert base64.b64encode(SECRET.encode()).decode() not in found


@pytest.mark.parametrize(
    "token",
    [
        "hf_AbCdEfGhIjKlMnOp",
        "ghp_0123456789abcdefghij",
        "github_pat_11ABCDEFG0123456789_abc",
        "AKIAIOSFODNN7EXAMPLE",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
    ],
)
def test_tokens_are_known_by_their_form(token: str) -> None:
    assert Redactor()(f"refused {token!r}: no") == "refused '***': no"


def test_what_is_no_secret_stays() -> None:
    text = (
        "https://huggingface.co/o/m/resolve/main/token.json?download=true: 200, "
        "tokenizer.json 1.2 MB, sha256 " + "ab" * 32 + ", user@host, key.pem"
    )
    assert Redactor()(text) == text


@given(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=4, max_size=40),
    st.text(max_size=20),
    st.text(max_size=20),
)
@example("a/b c+d", "", "")
@example("***a", "", "")
def test_a_known_value_never_passes(secret: str, before: str, after: str) -> None:
    secret = secret.strip()
    if len(secret) < 4:
        return
    from urllib.parse import quote

    redact = Redactor([secret])
    for form in (secret, quote(secret, safe=""), repr(secret)[1:-1]):
        assert form not in redact(f"{before}{form}{after}").replace("***", "")


def test_secrets_of_variables_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = set(
        of_environment(
            {
                "HF_TOKEN": "one1",
                "AWS_SECRET_ACCESS_KEY": "two2",
                "FETCH_KEY_PASSWORD": "three3",
                "https_proxy": "http://u:p%40ur@h:1",
                "ALL_PROXY": "u:fivefive@h:1",
                "FETCH_REWRITE": "https://a/=https://u:sixsix@h/",
                "FETCH_VERIFY_KEY": "key.pem",
                "HF_TOKEN_PATH": "/x",
            }
        )
    )
    assert found == {"one1", "two2", "three3", "p%40ur", "p@ur", "fivefive", "sixsix"}
    (tmp_path / "netrc").write_text("machine h login u\n  password hunter22\n")
    (tmp_path / "token").write_text("a-plain-token\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HF_TOKEN_PATH", str(tmp_path / "token"))
    assert {"hunter22", "a-plain-token"} <= set(of_files())


class Peeping(logging.Handler):
    """Another package's handler, which writes whatever it finds in a record."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.seen += f"{record.msg} {record.args} {record.exc_text} {record.exc_info}"
        self.seen += f"{record.stack_info} {self.format(record)}"


def test_no_handler_sees_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "very-secret-value")
    peeping = Peeping()
    logging.getLogger().addHandler(peeping)
    try:
        log.to_file(tmp_path / "log")
        try:
            raise ValueError("refused: very-secret-value")
        except ValueError:
            ours.exception(
                "with %s", {"Authorization": "Bearer very-secret-value"}, stack_info=True
            )
        ours.info("a wrong format %d", "very-secret-value")
    finally:
        logging.getLogger().removeHandler(peeping)
        log.stop()
    text = (tmp_path / "log").read_text("utf-8")
    assert "very-secret-value" not in peeping.seen + text
    assert "Traceback" in text and "ValueError: refused: ***" in text and "a wrong format" in text


# The command line


def fetch(*arguments: str, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fetcher", *arguments],
        cwd=cwd,
        env={**os.environ, **more},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (["list"], 0),
        (["-v", "list"], 2),
        (["list", "-v"], 2),
        (["-v", "list", "-v"], 3),
        (["-vv", "list"], 3),
        (["store", "-v", "ls", "-v"], 3),
        (["store", "ls", "--verbose", "--verbose"], 3),
    ],
)
def test_v_stands_before_or_after_the_name(
    tmp_path: Path, hermetic: Path, arguments: list[str], lines: int
) -> None:
    result = fetch(*arguments, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stderr.count(" run: ") == lines, result.stderr


def test_an_unwritable_log_ends_the_run_before_it_begins(tmp_path: Path, hermetic: Path) -> None:
    result = fetch("init", cwd=tmp_path, FETCH_LOG=str(tmp_path / "no/log"))
    assert result.returncode == 2 and "FETCH_LOG=" in result.stderr and "hint: " in result.stderr
    assert list(tmp_path.iterdir()) == []
    as_json = fetch("list", "--json", cwd=tmp_path, FETCH_LOG="/")
    assert as_json.returncode == 2 and '"code": "usage"' in as_json.stdout


def test_an_internal_error_shows_its_traceback_where_it_was_asked_for(
    tmp_path: Path, hermetic: Path
) -> None:
    code = (
        "import sys, fetcher.project.project as p\n"
        "def broken(*_): raise ValueError('token is hush-hush-hush')\n"
        "p.Project.load_everything = broken\n"
        "from fetcher.commands import run\n"
        "sys.exit(run(sys.argv[1:]))\n"
    )

    def attempt(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=tmp_path,
            env={**os.environ, "MY_TOKEN": "hush-hush-hush", **more},
            capture_output=True,
            text=True,
            check=False,
        )

    plain, loud = attempt("list"), attempt("list", "-vv")
    assert plain.returncode == loud.returncode == 1
    assert "Traceback" not in plain.stderr and "hint: run again with -vv" in plain.stderr
    assert "Traceback" in loud.stderr and "in broken" in loud.stderr
    kept = attempt("list", FETCH_LOG=str(tmp_path / "log"))
    assert "Traceback" not in kept.stderr and str(tmp_path / "log") in kept.stderr
    text = (tmp_path / "log").read_text("utf-8")
    assert "Traceback" in text and "exit code 1" in text
    assert "hush-hush-hush" not in plain.stderr + loud.stderr + kept.stderr + text
