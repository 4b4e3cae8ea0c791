"""The first minute: what `make` and `make quickstart` say, and that they do nothing twice."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fetcher.yamldoc import nodes
from tests.commands.test_hints import complaint
from tools import new_environment, quickstart
from tools.quickstart import Stamp, StepError, Steps, Torch

ROOT = Path(__file__).resolve().parent.parent


def make(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, **environ},
    )  # fmt: skip


def test_bare_make_explains() -> None:
    bare = make()
    assert bare.returncode == 0 and bare.stdout == make("help").stdout
    assert "make quickstart " in bare.stdout.splitlines()[2]
    assert max(map(len, bare.stdout.splitlines())) <= 90
    text = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][\w-]*):", text, re.M))
    said = set(re.findall(r"^make ([a-z-]+)", bare.stdout, re.M))
    inner = {"help", "lint", "types", "unit", "programs", "bench-verify"}
    assert targets - inner == said


@pytest.mark.parametrize("name", ["no-such-python", "/nonexistent/python3.12"])
def test_without_python_one_line_says_so(name: str) -> None:
    done = make("quickstart", f"PYTHON={name}")
    assert done.returncode == 2
    assert done.stdout.splitlines() == [
        f"there is no {name}: install Python 3.10 or later, or run make with PYTHON=/path/to/it"
    ]


OLD = sorted(Path(os.environ.get("PYENV_ROOT", "/root/.pyenv")).glob("versions/*/bin/python"))


@pytest.mark.parametrize("version", [(2, 7, 18), (3, 9, 18)])
def test_an_old_python_is_told_in_one_line(
    version: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "version_info", version)
    said = str(new_environment.main(str(tmp_path / "env")))
    assert f"Python {version[0]}.{version[1]} is too old" in said and "\n" not in said
    assert "PYTHON=" in said and not (tmp_path / "env").exists()
    # Another interpreter is named only if it runs; a version manager has names for all.
    shim = tmp_path / "python3.14"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "install Python 3.10" in str(new_environment.main(str(tmp_path / "env")))
    shim.write_text("#!/bin/sh\nexit 0\n")
    found = str(new_environment.main(str(tmp_path / "env")))
    assert ("PYTHON=python3.14" in found) == (version[0] > 2)


@pytest.mark.parametrize("minor", ["2.7", "3.6", "3.9"])
def test_old_pythons_that_are_here_can_read_it(minor: str, tmp_path: Path) -> None:
    python = next((path for path in OLD if path.parts[-3].startswith(minor)), None)
    if python is None:
        pytest.skip(f"no Python {minor} here")
    done = subprocess.run(
        [python, "tools/new_environment.py", tmp_path / "env"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1 and f"Python {minor} is too old" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("lacks", ["venv", "ensurepip"])
@pytest.mark.parametrize("debian", [True, False])
def test_a_python_that_makes_no_environments(
    lacks: str, debian: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, lacks, None)
    exists = os.path.exists
    monkeypatch.setattr(os.path, "exists", lambda path: debian if "apt" in path else exists(path))
    said = str(new_environment.main(str(tmp_path / "env")))
    version = "{}.{}".format(*sys.version_info[:2])
    assert "lacks venv or ensurepip" in said
    assert (f"apt-get install python{version}-venv" in said) == debian
    assert not (tmp_path / "env").exists()


def test_an_environment_that_works_is_kept_and_a_broken_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[list[str]] = []
    call = subprocess.call

    def instead(command: list[str], **more: Any) -> int:
        if "venv" not in command:
            return call(command, **more)
        made.append(command)
        return 0

    monkeypatch.setattr(subprocess, "call", instead)
    env = tmp_path / "env"
    (env / "bin").mkdir(parents=True)
    (env / "bin/python").symlink_to(sys.executable)
    assert new_environment.main(str(env)) == 0 and not made
    (env / "bin/python").unlink()
    (env / "bin/python").symlink_to("/nonexistent/python")
    assert new_environment.main(str(env)) == 0
    assert made == [[sys.executable, "-m", "venv", "--clear", str(env)]]


@pytest.mark.parametrize(
    ("system", "found", "torch"),
    [
        ("Linux", {"": ["2.13.0+cpu"]}, Torch("torch=={v}+cpu", "", "CPU build", 190)),
        ("Linux", {quickstart.CPU_INDEX: ["2.13.0+cpu"]},
         Torch("torch=={v}+cpu", quickstart.CPU_INDEX, "CPU build", 190)),
        ("Linux", {"": ["2.13.0"], quickstart.CPU_INDEX: ["2.1.0+cpu"]},
         Torch("torch=={v}", "", "with CUDA", 3000)),
        ("Darwin", {}, Torch("torch=={v}", "", "PyTorch", 190)),
    ],
)  # fmt: skip
def test_the_build_of_pytorch_without_cuda_is_taken(
    system: str, found: dict[str, list[str]], torch: Torch, monkeypatch: pytest.MonkeyPatch
) -> None:
    stated = re.search(r"^torch==(\S+)", (ROOT / "constraints.txt").read_text(), re.M)
    assert stated
    have = {at: [one.replace("2.13.0", stated[1]) for one in all_] for at, all_ in found.items()}
    monkeypatch.setattr("platform.system", lambda: system)
    monkeypatch.setattr(quickstart, "versions_in", lambda index: have.get(index, []))
    chosen = quickstart.choose_torch()
    assert chosen.requirement == torch.requirement.format(v=stated[1])
    assert chosen.source == torch.source and torch.said in chosen.said
    assert chosen.megabytes == torch.megabytes


class Ran:
    """Stands where programs would run; what was run, and which of it fails."""

    def __init__(self) -> None:
        self.commands: list[list[str]] = []
        self.fails = ""

    def run(self, command: list[Any], **_: object) -> subprocess.CompletedProcess[bytes]:
        words = [str(word) for word in command]
        if "status" in words:
            state = "complete" if any("all" in one for one in self.commands) else "missing"
            told = json.dumps({"results": [{"state": state}]})
            return subprocess.CompletedProcess(words, 0, told.encode(), b"")
        self.commands.append(words)
        failed = bool(self.fails) and self.fails in words
        return subprocess.CompletedProcess(words, int(failed), b"", b"")


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ran:
    found = Ran()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/fetch").touch()
    monkeypatch.setattr(quickstart, "ENVIRONMENT", tmp_path)
    monkeypatch.setattr(quickstart, "FETCH", tmp_path / "bin/fetch")
    monkeypatch.setattr(subprocess, "run", found.run)
    monkeypatch.setattr(sys, "argv", ["quickstart.py"])
    monkeypatch.setattr("importlib.metadata.version", lambda name: "1")
    monkeypatch.setattr("importlib.metadata.distributions", lambda: [])
    torch = Torch("torch==2+cpu", "https://host/cpu", "PyTorch (CPU build)", 190)
    monkeypatch.setattr(quickstart, "choose_torch", lambda: torch)
    return found


def test_it_says_what_comes_then_does_it_once(ran: Ran, capsys: pytest.CaptureFixture[str]) -> None:
    assert quickstart.main() == 0
    first = capsys.readouterr().out
    said = first[: first.index("[1/4]")]
    assert "about 409 MB" in said
    for words in ("25 MB  fetch", "94 MB  two models", "190 MB  PyTorch (CPU build)"):
        assert words in said
    assert re.findall(r"\[(\d)/(\d)\]", first) == [(str(n), "4") for n in range(1, 5)]
    install, models, torch, others, verify = [command[1:] for command in ran.commands]
    assert install[1:3] == ["pip", "install"] and install[install.index("-e") + 1] == "."
    assert models[:2] == ["all", "quickstart"] and verify[0] == "verify"
    assert "--no-deps" in torch and torch[torch.index("--index-url") + 1] == "https://host/cpu"
    # What is asked of the other index is PyTorch alone; nothing comes without its progress.
    assert "--index-url" not in others and "torch==2+cpu" in others
    assert not any("quiet" in word for command in ran.commands for word in command)
    assert any(word.startswith("sentence-transformers") for word in others)
    assert not {"accelerate", "diffusers", "peft", "pillow"} & {
        re.split("[>=]", w)[0] for w in others
    }
    ran.commands[:] = [command for command in ran.commands if "all" in command]
    assert quickstart.main() == 0
    again = capsys.readouterr().out
    assert "Nothing is to be downloaded" in again and "409" not in again
    assert again.count("there already") == 3
    assert [command[1] for command in ran.commands] == ["all", "all", "verify"]


def test_without_loading_no_pytorch_is_installed(
    ran: Ran, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["quickstart.py", "--without-loading"])
    assert quickstart.main() == 0
    assert "PyTorch" not in (out := capsys.readouterr().out) and "[2/2]" in out
    assert not any("torch" in word for command in ran.commands for word in command)


def test_make_hands_the_choice_on() -> None:
    assert "--without-loading" in make("-n", "quickstart", "LOAD=no").stdout
    assert "--without-loading" not in make("-n", "quickstart").stdout


def test_what_failed_is_told_and_is_done_again(
    ran: Ran, capsys: pytest.CaptureFixture[str]
) -> None:
    ran.fails = "torch==2+cpu"
    assert quickstart.main() == 1
    assert "step 3 of 4 failed" in capsys.readouterr().err
    ran.fails = ""
    ran.commands[:] = [command for command in ran.commands if "all" in command]
    assert quickstart.main() == 0
    assert any("torch==2+cpu" in command for command in ran.commands), "it was not installed"


def test_an_interrupted_run_says_how_to_go_on(
    ran: Ran, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Steps, "run", interrupted)
    assert quickstart.main() == 130 and "make quickstart" in capsys.readouterr().err
    with pytest.raises(StepError):
        monkeypatch.undo()
        Steps(1).run(sys.executable, "-c", "raise SystemExit(3)")


def test_a_stamp_is_of_this_folder_and_these_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("setup.cfg", "pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_text(name)
    monkeypatch.setattr(quickstart, "ENVIRONMENT", tmp_path)
    monkeypatch.setattr(quickstart, "ROOT", tmp_path)
    assert not Stamp("fetch").holds("pip")
    Stamp("fetch").set()
    assert Stamp("fetch").holds("pip") and not Stamp("fetch").holds("no-such-distribution")
    assert not Stamp("probes").holds("pip")
    (tmp_path / "setup.cfg").write_text("other requirements")
    assert not Stamp("fetch").holds("pip")


def test_the_former_name_goes_first(ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    class Former:
        name = "fetcher"

    monkeypatch.setattr("importlib.metadata.distributions", lambda: [Former])
    assert quickstart.main() == 0
    assert ran.commands[0][2:4] == ["pip", "uninstall"] and "fetcher" in ran.commands[0]
    assert ran.commands[1][2:4] == ["pip", "install"]


def test_what_it_says_of_the_models_is_what_the_manifest_has() -> None:
    text = (ROOT / "manifests/quickstart.yaml").read_bytes()
    assert nodes.parse(text, "quickstart.yaml").problems == []
    total = sum(map(int, re.findall(r"size: (\d+)", text.decode())))
    assert round(total / 1e6) == quickstart.MODELS_MB


def test_what_is_to_be_tried_next_can_be_typed() -> None:
    assert len(quickstart.NEXT) == 3
    for command, _ in quickstart.NEXT:
        assert complaint(command.format(fetch="fetch")) == ""


def test_sizes_that_people_read() -> None:
    assert quickstart.size_of(94) == "94 MB" and quickstart.size_of(3000) == "3.0 GB"
