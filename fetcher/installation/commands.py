"""Command lines that install what fetch lacks, and fetch itself anew.

They name the interpreter that runs fetch: another one's pip would install elsewhere. What an extra
adds is named by itself, so that it makes no difference where fetch came from, and a package index
that does not have fetch is never asked for it.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from fetcher.installation import distribution
from fetcher.installation.distribution import NAME, Origin

_PIPX = "pipx_metadata.json"
_UV_TOOL = "uv-receipt.toml"


def install(*requirements: str, upgrade: bool = False) -> str:
    """The line that installs libraries beside fetch."""
    what = shlex.join(requirements)
    if not _there(_PIPX):
        return f"{_pip('install')} {'-U ' if upgrade else ''}{what}"
    tool = shlex.quote(Path(sys.prefix).name)
    return f"pipx runpip {tool} install -U {what}" if upgrade else f"pipx inject {tool} {what}"


def install_extra(extra: str, *needed: str) -> str:
    """The line that installs what an extra adds; `needed` is said where no metadata tells it."""
    return install(*(distribution.requirements_of(extra) or needed))


def upgrade() -> str:
    """The line that installs a newer fetch from where this one came; "" where none is there."""
    for receipt, tool in ((_PIPX, "pipx"), (_UV_TOOL, "uv tool")):
        if _there(receipt):
            return f"{tool} upgrade {shlex.quote(Path(sys.prefix).name)}"
    found = distribution.origin()
    if found.kind == "archive":
        return ""  # a wheel never gets newer
    before = ""
    if found.kind in {"editable", "folder"}:
        folder = Path(found.address)
        if not folder.is_dir():
            return ""
        if (folder / ".git").exists():
            before = f"git -C {shlex.quote(found.address)} pull && "
    return f"{before}{_pip('install')} -U {_itself(found)}"


def without(*others: str) -> str:
    """The line that takes distributions away which have files in `fetcher/`, and mends fetch."""
    yes, again = ("", "--reinstall") if _by_uv() else ("-y ", "--force-reinstall")
    mended = f"{_pip('install')} {again} --no-deps {_itself(distribution.origin())}"
    return f"{_pip('uninstall')} {yes}{shlex.join(others)} && {mended}"


def _itself(found: Origin) -> str:
    """fetch as pip's argument, from where it came."""
    if found.kind == "git":
        revision = f"@{found.revision}" if found.revision else ""
        return shlex.quote(f"{NAME} @ git+{found.address}{revision}")
    if found.kind == "index":
        return NAME
    path = shlex.quote(found.address)
    return f"-e {path}" if found.kind == "editable" else path


def _pip(action: str) -> str:
    python = shlex.quote(sys.executable or "python3")
    return f"uv pip {action} --python {python}" if _by_uv() else f"{python} -m pip {action}"


def _by_uv() -> bool:
    """Environments that uv makes have no pip."""
    return _there(_UV_TOOL) or not _has_pip()


def _there(name: str) -> bool:
    return Path(sys.prefix, name).is_file()


def _has_pip() -> bool:
    from importlib import metadata  # to look for the module has setuptools undo imports

    try:
        metadata.version("pip")
    except metadata.PackageNotFoundError:
        return False
    return True
