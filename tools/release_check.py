"""`make release-check`: what is released is built, looked into, and installed as people would.

Wheel and sdist into ./dist; every Python that is here, pipx, uv and the Containerfile's own lines,
each in a throwaway folder. Ends with exit code 1 where anything is not as it should be.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAME = "model-fetcher"
VERSIONS = range(10, 15)  # minor versions of Python 3 that are looked for
# Where the wheel has what the repository has.
PLACES = {
    "fetcher/": "fetcher/",
    "verify/": "fetcher/verify/",
    "manifests/": "fetcher/catalog/manifests/",
    "layouts/": "fetcher/catalog/layouts/",
}
# Of an sdist, what a builder or a tester cannot do without.
NEEDED_IN_SDIST = (
    *("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "Makefile"),
    *("constraints.txt", "fetcher/py.typed", "tests/conftest.py", "docs/commands.md"),
    *("tools/quickstart.py", "verify/__init__.py", "manifests/quickstart.yaml"),
)
MANIFEST = """\
manifest: small
artifacts:
  one: {source: "local:given", files: [weights.bin]}
"""
LAYOUT = "layout: small\ntree:\n  models/renamed.bin: one/weights.bin\n"


class WrongError(Exception):
    """Something is not as it should be."""


def tracked(root: Path) -> list[str]:
    """Names of the files that git has. Raises WrongError outside a checkout."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, check=False)
    if done.returncode:
        raise WrongError(f"{root} is not a git checkout")
    return [name for name in done.stdout.decode().split("\0") if name and (root / name).is_file()]


MAN_PAGE = "fetcher/commands/fetch.1"


def wheel_differs(wheel: Path, root: Path) -> list[str]:
    """What the wheel lacks of the repository's packages, or has beside them."""
    wanted = {
        PLACES[top] + name.removeprefix(top)
        for name in tracked(root)
        for top in PLACES
        if name.startswith(top)
    }
    with zipfile.ZipFile(wheel) as archive:
        there = {name for name in archive.namelist() if not name.endswith("/")}
    if MAN_PAGE in wanted:  # goes where man looks
        wanted.remove(MAN_PAGE)
        data = "-".join(wheel.name.split("-")[:2]) + ".data/data"
        wanted.add(f"{data}/share/man/man1/fetch.1")
    infos = {name for name in there if name.partition("/")[0].endswith(".dist-info")}
    ends = {name.partition("/")[2] for name in infos}
    absent = {"METADATA", "WHEEL", "RECORD", "entry_points.txt"} - ends
    if not any(end.endswith("LICENSE") for end in ends):
        absent.add("LICENSE")
    return [
        *(f"{wheel.name} lacks {name}" for name in sorted((wanted - there) | absent)),
        *(f"{wheel.name} has {name} besides" for name in sorted(there - infos - wanted)),
    ]


def sdist_differs(sdist: Path) -> list[str]:
    with tarfile.open(sdist) as archive:
        there = {name.partition("/")[2] for name in archive.getnames()}
    return [f"{sdist.name} lacks {name}" for name in NEEDED_IN_SDIST if name not in there]


def pythons() -> Iterator[Path]:
    """Each Python 3.10 or later that can make environments, on PATH or in pyenv."""
    folders = [*map(Path, os.environ.get("PATH", "").split(os.pathsep))]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    folders += sorted(pyenv.glob("versions/*/bin"))
    for minor in VERSIONS:
        for folder in folders:
            python = folder / f"python3.{minor}"
            if folder.name != "shims" and python.is_file() and can_make_environments(python):
                yield python
                break


def can_make_environments(python: Path) -> bool:
    command = [str(python), "-I", "-c", "import venv, ensurepip"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def run(
    *command: str | Path, cwd: Path, environ: Mapping[str, str] | None = None, code: int = 0
) -> str:
    """What a command prints. Raises WrongError where it ends with another exit code."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words, cwd=cwd, env={**os.environ, **(environ or {})}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if done.returncode != code:
        told = (done.stdout + done.stderr)[-2000:]
        raise WrongError(f"{shlex.join(words)}: exit code {done.returncode}\n{told}")
    return done.stdout


def try_fetch(fetch: Sequence[str | Path], folder: Path) -> None:
    """A small project of local files, from nothing to a check, in a home of its own."""
    project = folder / "project"
    for name, text in (("manifests", MANIFEST), ("layouts", LAYOUT)):
        (project / name).mkdir(parents=True)
        (project / name / "small.yaml").write_text(text)
    (project / "given").mkdir()
    (project / "given/weights.bin").write_bytes(bytes(range(256)))
    environ = {"HOME": str(folder), "XDG_CACHE_HOME": str(folder / "cache"), "PYTHONPATH": ""}

    def ask(*arguments: str) -> str:
        return run(*fetch, *arguments, cwd=project, environ=environ)

    if not re.match(r"fetch, version \d", ask("--version")):
        raise WrongError("fetch --version does not say its version")
    if "ohlora" not in ask("list", "--catalog"):
        raise WrongError("fetch list does not have the catalog")
    json.loads(ask("schema", "manifest"))
    ask("all")
    if (project / "models/renamed.bin").read_bytes() != bytes(range(256)):
        raise WrongError("fetch all has not placed the file")
    if json.loads(ask("check", "--deep", "--json"))["ok"] is not True:
        raise WrongError("fetch check does not agree")
    if "FETCH_LANG" not in os.environ:
        told = run(*fetch, cwd=project, environ={**environ, "FETCH_LANG": "ko"})
        if told.isascii():
            raise WrongError("FETCH_LANG=ko does not speak Korean")


def try_hint(python: Path, folder: Path, environ: Mapping[str, str], start: str) -> None:
    """The line that fetch gives for an extra: it begins with `start`, and brings the library."""
    code = "from fetcher.installation import commands; print(commands.install_extra('7z'))"
    line = run(python, "-c", code, cwd=folder).strip()
    if not line.startswith(start):
        raise WrongError(f"to install an extra, fetch says: {line}")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    run("sh", "-euc", line, cwd=folder, environ={**environ, "PATH": path})
    run(python, "-c", "import py7zr", cwd=folder)


def in_environment(python: Path, wheel: Path, folder: Path) -> None:
    run(python, "-m", "venv", folder / "env", cwd=folder)
    bin_ = folder / "env/bin"
    run(bin_ / "pip", "install", "--quiet", wheel, cwd=folder)
    run(bin_ / "pip", "check", cwd=folder)
    try_fetch([bin_ / "fetch"], folder)
    try_hint(bin_ / "python", folder, {}, str(bin_))


def by_pipx(what: str, folder: Path) -> None:
    environ = {"PIPX_HOME": str(folder / "pipx"), "PIPX_BIN_DIR": str(folder / "bin")}
    python = ["--python", sys.executable]
    run(sys.executable, "-m", "pipx", "install", *python, what, cwd=folder, environ=environ)
    try_fetch([folder / "bin/fetch"], folder)
    inner = folder / "pipx/venvs" / NAME / "bin/python"
    try_hint(inner, folder, environ, f"pipx inject {NAME} ")


def by_uv(what: str, folder: Path) -> None:
    environ = {"UV_TOOL_DIR": str(folder / "uv"), "UV_TOOL_BIN_DIR": str(folder / "bin")}
    command = ["uv", "tool", "install", "--python", sys.executable, what]
    run(sys.executable, "-m", *command, cwd=folder, environ=environ)
    try_fetch([folder / "bin/fetch"], folder)
    try_hint(folder / "uv" / NAME / "bin/python", folder, environ, "uv pip install ")


def container_lines(text: str) -> list[tuple[str, str]]:
    """The instructions of a Containerfile: (name, the rest), lines joined, comments left out."""
    joined = re.sub(r"\\\n", "", re.sub(r"^#.*\n", "", text, flags=re.M))
    lines = [line.partition(" ") for line in joined.splitlines() if line.strip()]
    return [(name.upper(), rest.strip()) for name, _, rest in lines]


def container_by_hand(folder: Path) -> None:
    """What the image's first stage runs, run here: its paths moved into a folder."""
    lines = container_lines((ROOT / "Containerfile").read_text())
    source = folder / "src"
    for top in (*PLACES, "setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        part = ROOT / top.rstrip("/")
        copy = shutil.copytree if part.is_dir() else shutil.copy2
        source.mkdir(exist_ok=True)
        copy(part, source / part.name)
    extras = next(rest for name, rest in lines if name == "ARG" and rest.startswith("EXTRAS="))
    first = next(rest for name, rest in lines if name == "RUN")
    script = first.replace("/opt/", f"{folder}/opt/").replace("/src[", f"{source}[")
    environ = {"EXTRAS": extras.partition("=")[2]}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    run("sh", "-euc", script, cwd=folder, environ={**environ, "PATH": path})
    if ("ENTRYPOINT", '["fetch"]') not in lines or ("USER", "1000") not in lines:
        raise WrongError("Containerfile: the image is to run fetch, and not as root")
    try_fetch([folder / "opt/fetch/bin/fetch"], folder)


def lint_container(_: Path) -> str:
    """The name of the linter that was content, or why none was asked. Raises WrongError."""
    linter = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if linter is None:
        return "hadolint is not here: not linted"
    run(linter, "Containerfile", cwd=ROOT)
    return "hadolint"


def ours_in(folder: Path, ending: str) -> list[Path]:
    return list(folder.glob(f"{NAME.replace('-', '_')}-*{ending}"))


def build(folder: Path) -> None:
    """Make the sdist, and the wheel from it: what the sdist lacks, that lacks."""
    for old in ours_in(folder, ""):
        old.unlink()
    run(sys.executable, "-m", "build", "--outdir", folder, ROOT, cwd=ROOT)
    (wheel,), (sdist,) = ours_in(folder, ".whl"), ours_in(folder, ".tar.gz")
    run(sys.executable, "-m", "twine", "check", "--strict", wheel, sdist, cwd=ROOT)
    if told := [*wheel_differs(wheel, ROOT), *sdist_differs(sdist)]:
        raise WrongError("\n".join(told))


Check = Callable[[Path], object]


def checks(wheel: Path) -> Iterator[tuple[str, Check]]:
    """What is done with the wheel, each in a folder of its own."""
    for python in pythons():
        yield f"{python.name}: pip install", partial(in_environment, python, wheel)
    for what, shown in ((str(wheel), "the wheel"), (f"git+file://{ROOT}", "git")):
        yield f"pipx install: {shown}", partial(by_pipx, what)
        yield f"uv tool install: {shown}", partial(by_uv, what)
    yield "Containerfile: its lines by hand", container_by_hand
    yield "Containerfile: linted", lint_container


def attempt(what: str, check: Check) -> bool:
    """Whether a check is content; its line is printed."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="release-check-") as scratch:
        try:
            told = check(Path(scratch))
            said = f"ok{f': {told}' if isinstance(told, str) else ''}"
        except WrongError as error:
            said = f"WRONG\n{error}"
    print(f"{what:<40} {time.monotonic() - began:5.0f} s  {said}", flush=True)
    return said.startswith("ok")


def main() -> int:
    if not attempt("build, twine check, contents", lambda _: build(ROOT / "dist")):
        return 1
    (wheel,) = ours_in(ROOT / "dist", ".whl")
    content = [attempt(what, check) for what, check in checks(wheel)]
    return 0 if all(content) else 1


if __name__ == "__main__":
    sys.exit(main())
