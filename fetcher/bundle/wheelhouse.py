"""fetch itself as wheels with an install script, for a site that has no package index."""

from __future__ import annotations

import re
import shutil
import sys
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from fetcher.errors import Failure, UsageError
from fetcher.fs.atomic import sha256_of
from fetcher.fs.nearest import nearest
from fetcher.fs.private_files import scratch_folder
from fetcher.i18n import t
from fetcher.installation import distribution
from fetcher.transfer.pip import FOR_PIP, PIP_TIMEOUT, pip_failure
from fetcher.verify.host import child_process
from fetcher.verify.host.environment import clean_environment

_LIGHT_EXTRAS = ("serve", "sign")
_PYTHON = re.compile(r"3\.\d{1,2}")
_MANYLINUX = re.compile(r"manylinux_2_(\d{1,2})_(\w+)")
_LEGACY = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
# Wheels that are built here are the same on every day.
_EPOCH = "315532800"

_IGNORED = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__", "tests")

_SCRIPT = """\
#!/bin/sh
# Installs fetch from the wheels beside this script; needs no network. Prove it before you run it:
# INDEX.txt says how. Python reads nothing from the current directory, nor settings of pip.
# usage: sh install.sh [DIRECTORY]      (PYTHON=python{python} names the interpreter)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
target=${{1:-fetch-tool}}
python=${{PYTHON:-python3}}
found=$("$python" -I -c 'import sys; print("%d.%d" % sys.version_info[:2])')
if [ "$found" != "{python}" ]; then
  echo "these wheels are for Python {python}, and $python is $found: set PYTHON" >&2
  exit 2
fi
if [ -e "$target" ]; then  # what stands there would run as well
  echo "$target is there already: remove it, or name another directory" >&2
  exit 2
fi
"$python" -I -m venv "$target"
"$target/bin/python" -I -m pip --isolated install --quiet --disable-pip-version-check --no-index \\
  --only-binary :all: --find-links "$here" --require-hashes -r "$here/requirements.txt"
"$target/bin/python" -I "$target/bin/fetch" --version
echo "installed: $target/bin/fetch"
"""


@dataclass(frozen=True)
class WheelhouseOptions:
    """For whom the wheels are: Python version, platform tags, extras, constraints."""

    python: str | None
    platforms: tuple[str, ...]
    extras: tuple[str, ...]
    constraints: Path | None


def pack(wanted: WheelhouseOptions, folder: Path, say: Callable[[str], None]) -> dict[str, str]:
    """Fill `folder`; its files by name. Raises Failure, UsageError."""
    python = wanted.python or f"{sys.version_info[0]}.{sys.version_info[1]}"
    if not _PYTHON.fullmatch(python):
        raise UsageError(
            t("--tool-python {python}, expected a version such as 3.11", python=python)
        )
    extras = _extras(wanted.extras)
    say(
        t(
            "packing fetch for Python {python}{which}",
            python=python,
            which=t(" with {extras}", extras=", ".join(extras)) if extras else "",
        )
    )
    folder = folder.absolute()  # pip stands elsewhere
    own = _own_wheel(folder)
    _download(f"{own}[{','.join(extras)}]" if extras else str(own), wanted, python, folder)
    wheels = sorted(path for path in folder.iterdir() if path.suffix == ".whl")
    lines = [_requirement(path, extras if path.name == own.name else ()) for path in wheels]
    (folder / "requirements.txt").write_text("".join(lines), "utf-8")
    (folder / "install.sh").write_text(_SCRIPT.format(python=python), "utf-8")
    return {path.name: str(path) for path in folder.iterdir() if path.is_file()}


def _extras(names: Sequence[str]) -> tuple[str, ...]:
    known = distribution.extras()
    for name in names:
        if name not in known:
            close = nearest(name, known)
            hint = (
                t("did you mean {close!r}?", close=close)
                if close
                else t("there are: {known}", known=", ".join(known))
            )
            raise UsageError(t("--tool-extra {name}: fetch has no such extra", name=name), hint)
    return tuple(names) or tuple(name for name in _LIGHT_EXTRAS if name in known)


def _requirement(wheel: Path, extras: Sequence[str]) -> str:
    name, version = wheel.name.split("-")[:2]
    chosen = f"[{','.join(extras)}]" if extras else ""
    return f"{name}{chosen}=={version} --hash=sha256:{sha256_of(str(wheel))}\n"


def _own_wheel(folder: Path) -> Path:
    """fetch's own wheel: built from its source where that is at hand, else from what is installed.

    Never from a package index, where another package may have the name.
    """
    source = _source()
    return _built(source, folder) if source is not None else _repacked(distribution.own(), folder)


def _source() -> Path | None:
    """The folder that fetch was installed from, if it is still there."""
    found = distribution.origin()
    source = Path(found.address)
    local = found.kind in {"editable", "folder"}
    return source if local and (source / "setup.cfg").is_file() else None


def _can_build_here() -> bool:
    """Whether setuptools is here, and makes wheels by itself: 70.1 and later do."""
    try:
        major, minor = metadata.version("setuptools").split(".")[:2]
        return (int(major), int(minor)) >= (70, 1)
    except (metadata.PackageNotFoundError, ValueError):
        return False


def _built(source: Path, folder: Path) -> Path:
    command = ["wheel", "--no-deps", "--wheel-dir", str(folder)]
    if _can_build_here():
        command.append("--no-build-isolation")
    with scratch_folder(str(folder)) as scratch:
        # A build leaves files in its source, and those of an older version would get in.
        copy = Path(scratch, "source")
        shutil.copytree(source, copy, ignore=_IGNORED)
        _pip([*command, str(copy)], str(source))
    return next(folder.glob("*.whl"))


def _repacked(found: metadata.Distribution | None, folder: Path) -> Path:
    """A wheel of the installed files, as the installation's own list names them."""
    names = sorted(
        str(path)
        for path in (found.files if found is not None else None) or ()
        if not str(path).startswith("..") and "__pycache__" not in str(path)
    )
    if found is None or not names:
        raise Failure(
            "refused",
            t("fetch's own files are not listed"),
            t("install fetch with pip, then try again"),
        )
    # (What was installed under the former name is still that.)
    name = re.sub(r"[-_.]+", "_", found.metadata["Name"])
    target = folder / f"{name}-{found.version}-py3-none-any.whl"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            if name.endswith((".dist-info/INSTALLER", ".dist-info/REQUESTED", "direct_url.json")):
                continue
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(info, Path(str(found.locate_file(name))).read_bytes())
    return target


def platform_tags(platforms: Sequence[str]) -> list[str]:
    """The tags given, and the older ones that a manylinux system also takes."""
    found: list[str] = []
    for platform in platforms:
        many = _MANYLINUX.fullmatch(platform)
        if many is None:
            found.append(platform)
            continue
        for minor in range(int(many[1]), 4, -1):
            found.append(f"manylinux_2_{minor}_{many[2]}")
            if minor in _LEGACY:
                found.append(f"{_LEGACY[minor]}_{many[2]}")
    return list(dict.fromkeys(found))


def _download(requirement: str, wanted: WheelhouseOptions, python: str, folder: Path) -> None:
    command = ["download", "--only-binary", ":all:", "--dest", str(folder)]
    if wanted.python or wanted.platforms:
        command += ["--python-version", python, "--implementation", "cp"]
    for tag in platform_tags(wanted.platforms):
        command += ["--platform", tag]
    if wanted.constraints is not None:
        command += ["--constraint", str(wanted.constraints.absolute())]
    _pip([*command, "--", requirement], requirement)


def _pip(arguments: list[str], requirement: str) -> None:
    quiet = ("--quiet", "--no-input", "--disable-pip-version-check")
    command = child_process.own_module("pip", *arguments[:1], *quiet, *arguments[1:])
    environ = {**clean_environment(FOR_PIP), "SOURCE_DATE_EPOCH": _EPOCH}
    try:
        done = child_process.run(command, timeout=PIP_TIMEOUT, environ=environ, merged=True)
    except TimeoutError as error:
        raise Failure(
            "network", t("pip took longer than an hour for {requirement}", requirement=requirement)
        ) from error
    if done.status:
        raise pip_failure(Path(requirement).name, done.out)
