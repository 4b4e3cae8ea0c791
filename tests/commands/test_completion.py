"""What TAB does: in bash, zsh and fish as they are, driven through a terminal."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pexpect
import pytest

from fetcher.commands import cli as all_commands
from fetcher.commands.completing import VARIABLE
from fetcher.project import name_scan
from tests.commands.walk import parameters
from tests.conftest import Cli, write_project

MANIFEST = """variants:
  precision: {default: fp32, choices: {fp32: alpha, fp16: beta-2}}
artifacts:
  alpha: {source: "https://x.org/a", groups: [train, run]}
  "beta-2":
    source: https://x.org/b
    groups:
      - eval
  gamma: {source: "https://x.org/c", groups: solo}
"""
# Names of a cloned project that a shell could take for more than names.
HOSTILE = [
    *("hx a b", "hy$(touch pwned)", "hz`touch pwned`", "hq'\"; touch pwned; '", "h*", "-hrf"),
    *("h\x1b[31mred", "h\nnewline", "h\ttab", "h\u202eevil", "h!!", "h~x", "h%s", "h#c"),
]
SHOWN = {name for name in HOSTILE if name.isprintable() and not name.startswith("-")}


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A project with three artifacts, and manifests of hostile names."""
    write_project(tmp_path, "p", MANIFEST, "tree:\n  a/: alpha\n  b/: beta-2\n  g/: gamma\n")
    for name in HOSTILE:
        (tmp_path / "manifests" / f"{name}.yaml").write_text(
            "artifacts:\n  $(touch pwned):\n", "utf-8"
        )
    return tmp_path


def tab(project: Path, *words: str, shell: str = "bash") -> list[str]:
    """The candidates for the last of these words, asked for as a script does."""
    env = {
        **os.environ,
        "_FETCH_COMPLETE": shell,
        "COMP_WORDS": "\n".join(["fetch", *(words[:-1] if shell == "fish" else words)]),
        "COMP_CWORD": words[-1] if shell == "fish" else str(len(words)),
    }
    run = subprocess.run(
        [sys.executable, "-m", "fetcher"],
        cwd=project,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stderr == ""
    lines = run.stdout.split("\n")
    assert lines.pop() == "" and all(len(line.split("\t")) == 3 for line in lines), run.stdout
    return [value or kind for kind, value, _ in (line.split("\t") for line in lines)]


def test_values(hostile: Path) -> None:
    assert tab(hostile, "chec") == ["check"]
    assert tab(hostile, "check", "--only", "") == ["alpha", "beta-2", "gamma"]
    assert tab(hostile, "check", "--group", "") == ["train", "run", "eval", "solo"]
    assert tab(hostile, "all", "--variant", "") == ["precision=fp32", "precision=fp16"]
    assert tab(hostile, "check", "--group", "=", "tr") == ["train"]  # as bash splits it
    assert tab(hostile, "check", "--group=tr", shell="zsh") == ["--group=train"]
    assert tab(hostile, "verify", "--device", "cu") == ["cuda", "cuda:0"]
    assert tab(hostile, "check", "--junit", "x") == ["file"]
    assert tab(hostile, "all", "--into", "x", shell="fish") == ["dir"]
    assert tab(hostile, "completion", "") == ["bash", "zsh", "fish"]
    assert tab(hostile, "nonsense", "x") == tab(hostile, "mirror", "nonsense", "") == []
    assert set(tab(hostile, "status", "h", shell="fish")) == SHOWN
    assert "quickstart" in tab(hostile, "all", "quick")
    assert tab(hostile, "init", "--from", "") == tab(hostile, "init", "--from", "READ") == ["file"]
    assert tab(hostile, "init", "--from", "quick") == ["quickstart"]
    assert tab(hostile, "add", "hf:o/m", "--visibility", "p") == ["private", "public"]
    assert tab(hostile, "serve", "--access-log", "x") == ["file"]
    assert tab(hostile, "init", "--name", "") == tab(hostile, "get", "hf:o/m", "x") == []


def test_what_takes_a_file_or_a_folder_offers_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every parameter whose metavar says so, but files of a source."""
    seen = 0
    monkeypatch.setenv(VARIABLE, "bash")
    for name, param in parameters(all_commands):
        words = set(re.split(r"[^A-Z]+", param.metavar or ""))
        if not words & {"FILE", "PATH", "DIR", "FOLDER", "DOCUMENT"} or name == "get":
            continue
        if "/" in (param.metavar or ""):  # ARTIFACT/FILE
            continue
        offered = param.type.shell_complete(click.Context(click.Command("x")), param, "z")
        assert [item.type for item in offered] in (["file"], ["dir"]), (name, param.opts)
        seen += 1
    assert seen > 60


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("artifacts:\n  a: {source: x\n  b:\n    c: [\n", ["a", "b"]),
        ("artifacts: {a: {source: x}, b: {source: y}}\n", ["a", "b"]),
        ("artifacts:\n    a:\n\n    # a remark\n    b :\n    'c':\nlayout: d\n", ["a", "c"]),
        ("\tartifacts:\n<<<<<<< HEAD\nartifacts:\n  a:\n=======\n  b:\n", ["a"]),
        ("artifacts", []),
        ("\x00\xff", []),
    ],
)
def test_files_that_are_half_written(tmp_path: Path, text: str, found: list[str]) -> None:
    write_project(tmp_path, "p", "", "")
    (tmp_path / "manifests/p.yaml").write_text(text, "utf-8")
    assert name_scan.artifacts(tmp_path) == found


def test_nothing_is_waited_for(tmp_path: Path) -> None:
    folder = tmp_path / "manifests"
    folder.mkdir()
    os.mkfifo(folder / "fifo.yaml")
    (folder / "out.yaml").symlink_to("/etc/passwd")
    (folder / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with (folder / "huge.yaml").open("wb") as stream:
        stream.truncate(1 << 40)
    assert name_scan.artifacts(tmp_path) == []
    assert name_scan.manifests(tmp_path)[:2] == ["bytes", "huge"]
    (tmp_path / "fetch.yaml").write_text("a: [", "utf-8")
    assert tab(tmp_path, "all", "byt") == ["bytes"]


def test_nothing_heavy_is_imported(hostile: Path) -> None:
    env = {**os.environ, "_FETCH_COMPLETE": "zsh", "COMP_WORDS": "fetch\nall\n", "COMP_CWORD": "2"}
    code = (
        "import sys; from fetcher.__main__ import main\ntry: main()\nfinally: print(*sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=hostile,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    loaded = set(run.stdout.split("\n")[-2].split())
    heavy = {"yaml", "requests", "pycurl", "huggingface_hub", "tqdm", "license_expression"}
    assert "click" in loaded and heavy & loaded == set()


_CONTROLS = re.compile(r"\x1b\][^\x07]*\x07|\x1b\[[0-9;?]*[a-zA-Z]|\x1b[=>(]B?")


class Terminal:
    """A shell in a terminal, with the completion script loaded."""

    def __init__(self, shell: str, project: Path, script: Path, log: Path) -> None:
        start = {
            "bash": ["bash", "--norc", "--noprofile", "-i"],
            "zsh": ["zsh", "-f", "-i"],
            "fish": ["fish", "--no-config", "-i"],
        }[shell]
        setup = {
            "bash": f"PS1='> '; bind 'set enable-bracketed-paste off'; source {script}",
            "zsh": f"PS1='> '; unsetopt ZLE_BRACKETED_PASTE 2>/dev/null; unset zle_bracketed_paste;"
            f" autoload -Uz compinit; compinit -D -u; source {script}",
            "fish": f"function fish_prompt; echo '> '; end; source {script}",
        }[shell]
        folder = str(Path(sys.executable).parent)
        env = {
            **os.environ,
            "PATH": f"{folder}:{os.environ['PATH']}",
            "TERM": "xterm" if shell == "fish" else "dumb",
            "HOME": str(log.parent),
            "LC_ALL": "C.UTF-8",
        }
        self.shell = shell
        self.child = pexpect.spawn(
            start[0], start[1:], cwd=str(project), env=env, timeout=60, dimensions=(50, 400),
            encoding="utf-8",
        )  # fmt: skip
        self.child.sendline(f"{setup}; echo READ''Y")
        self.child.expect("READY")

    def words(self, typed: str) -> list[str]:
        """The words that the shell makes of a line, after TAB: they are printed, not run."""
        # Line editors answer TAB before they read on.
        self.child.send(f"{typed}\t")
        self.child.send("\x01printf '<%s>' ")
        self.child.send("\x05; echo ' EN''D'\r")
        self.child.expect(r"(?s)(<fetch>.*?) END")
        assert self.child.match is not None
        whole = re.sub(
            r"\x1b\][^\x07]*\x07|\x1b\[[0-9;?]*[a-zA-Z]|\x1b[=>(]B?", "", self.child.match[1]
        )
        return re.findall(r"<([^<>]*)>", whole[whole.rindex("<fetch>") :])


@pytest.fixture(params=["bash", "zsh", "fish"])
def terminal(
    request: pytest.FixtureRequest,
    hostile: Path,
    tmp_path_factory: pytest.TempPathFactory,
    cli: Cli,
) -> Iterator[Terminal]:
    """Each of the three shells, where it is installed."""
    shell = request.param
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed: what TAB does in it is not tested")
    home = tmp_path_factory.mktemp("home")
    script = home / "script"
    script.write_text(cli("completion", shell).out, "utf-8")
    found = Terminal(shell, hostile, script, home / "log")
    yield found
    found.child.close(force=True)


@pytest.mark.heavy
def test_in_the_shell_itself(terminal: Terminal, hostile: Path) -> None:
    assert terminal.words("fetch outd") == ["fetch", "outdated"]
    assert terminal.words("fetch check --only al") == ["fetch", "check", "--only", "alpha"]
    assert terminal.words("fetch check --group=ev") == ["fetch", "check", "--group=eval"]
    (hostile / "some file.xml").write_text("", "utf-8")
    junit = terminal.words("fetch check --junit some")
    assert junit == ["fetch", "check", "--junit", "some file.xml"]
    # Names that mean something to a shell stay names.
    assert terminal.words("fetch status hx") == ["fetch", "status", "hx a b"]
    assert terminal.words("fetch status hy") == ["fetch", "status", "hy$(touch pwned)"]
    assert terminal.words("fetch status hz") == ["fetch", "status", "hz`touch pwned`"]
    assert terminal.words("fetch status hq") == ["fetch", "status", "hq'\"; touch pwned; '"]
    terminal.words("fetch status h")
    assert not (hostile / "pwned").exists()
