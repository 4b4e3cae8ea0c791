"""Which interpreter has the project's libraries, and what of the environment a child process sees.

One may stand in a stranger's clone: nothing of that folder gets into a child by way of a variable,
and no child gets a secret that it has no use for.
"""

from __future__ import annotations

import fnmatch
import logging
import os
import re
import sys
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from fetcher.verify.host import git_index

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_log = logging.getLogger(__name__)

_SECRET_WORDS = frozenset(
    {"APIKEY", "AUTH", "AWS", "COOKIE", "CREDENTIAL", "CREDENTIALS", "DSN", "JWT", "KEY"}
    | {"KUBECONFIG", "NETRC", "PASS", "PASSPHRASE", "PASSWD", "PASSWORD", "PAT", "PROXY", "PWD"}
    | {"SECRET", "SECRETS", "TOKEN", "TOKENS"}
)
_NO_SECRETS = frozenset({"PWD", "OLDPWD"})
# Also as the end of a word: PGPASSWORD, MYTOKEN; a connection string holds a key.
_SECRET_ENDING = re.compile(r"(?:APIKEY|PASSWORD|PASSWD|SECRET|TOKEN|CONNECTION_STRING)(?:_|$)")
# What gives a secret away by its look: a login in a URL, tokens of the Hub, GitHub, GitLab, OpenAI,
# Slack and Amazon, keys in PEM.
_SECRET_VALUE = re.compile(
    r"://[^/\s@]+@|\bhf_[A-Za-z0-9]{20,}|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_\w{20,}"
    r"|\bglpat-[\w-]{16,}|\bsk-[\w-]{20,}|\bxox[a-z]-[\w-]{10,}|\bA[KS]IA[A-Z0-9]{16}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)
# Lists of folders in which an empty or relative entry means the folder that one stands in.
_LISTS = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FRAMEWORK_PATH")
# Of use to a person at a prompt, and to nobody here: they name code that is to run.
_LEFT_OUT = frozenset({"PYTHONSTARTUP", "PYTHONINSPECT", "PYTHONBREAKPOINT", "BASH_ENV", "ENV"})
_ENVIRONMENTS = ("VIRTUAL_ENV", "CONDA_PREFIX")
# Each has a library run code, or load pickles as they are, though it is told not to.
_LOOSENING = frozenset({"TRUST_REMOTE_CODE", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"})
_OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "DO_NOT_TRACK": "1",
    "USE_HUB_KERNELS": "0",
    "WANDB_MODE": "disabled",
}
# What shows that a folder is a project's.
_MARKS = ("manifests", "fetch.yaml", "fetch.lock", ".git")


def interpreter(python: str | None, environ: Mapping[str, str] = os.environ) -> str:
    """Return the interpreter to prove models with, as an absolute path if it is one.

    `python` is an interpreter, or the folder of a virtual environment. By default the active
    virtual or conda environment decides, as the project's own libraries are what must work; one
    that the project's repository ships is not used, and a warning says so.
    """
    if python is not None:
        given = Path(os.path.expanduser(python))
        if given.is_dir():
            return str(_inside(given).absolute())
        # A bare name is looked up in PATH when it is started. Links stay: a venv is one.
        return str(given.absolute()) if os.sep in python else python
    for variable in _ENVIRONMENTS:
        folder = environ.get(variable)
        if folder and _inside(Path(folder)).exists() and not _refused(variable, folder):
            return str(_inside(Path(folder)))
    return sys.executable


def _inside(folder: Path) -> Path:
    return folder / "bin" / "python"


@lru_cache(maxsize=16)  # said once
def _refused(variable: str, folder: str) -> bool:
    """Tell whether an active environment is not the person's own, and say why."""
    if not os.path.isabs(folder):
        why = "it is no whole path, and would lie in whatever folder one stands in"
    elif git_index.ships(Path(folder)):
        why = "the repository that it lies in ships it"
    else:
        return False
    _log.warning(
        "%s=%s is not used as the project's environment: %s. If you trust it, name it: --python %s",
        *(variable, folder, why, folder),
    )
    return True


def project_folder() -> Path | None:
    """Return the root of the project that one stands in; None outside of any.

    A home, or what lies above it, is nobody's clone, whatever it is marked with.
    """
    here = Path.cwd()
    home = Path(os.path.realpath(os.path.expanduser("~")))
    for folder in (here, *here.parents):
        if folder == home or folder in home.parents:
            return None
        if any((folder / mark).exists() for mark in _MARKS):
            return folder
    return None


def trusted_folders(folders: Sequence[str], environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return those of a list of folders that are not the project's that one stands in.

    An entry that is empty or no whole path is. This process's own installation and the active
    environment may lie in the project, and count as the person's.
    """
    whole = [folder for folder in folders if os.path.isabs(folder)]
    project = project_folder()
    if project is None:
        return whole
    own = [sys.prefix, sys.base_prefix, sys.exec_prefix]
    active = [folder for name in _ENVIRONMENTS if os.path.isabs(folder := environ.get(name, ""))]
    own += [folder for folder in active if not git_index.ships(Path(folder))]
    return [f for f in whole if _lies_in(f, own) or not _lies_in(f, [str(project)])]


def _whole(folders: str) -> list[str]:
    return [folder for folder in folders.split(os.pathsep) if os.path.isabs(folder)]


def _lies_in(folder: str, places: Sequence[str]) -> bool:
    for one in {os.path.normpath(folder), os.path.realpath(folder)}:
        for place in places:
            for other in {os.path.normpath(place), os.path.realpath(place)}:
                if one == other or one.startswith(other.rstrip(os.sep) + os.sep):
                    return True
    return False


def clean_environment(
    keep: Sequence[str] = (), environ: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """Return `environ` for a child process: without secrets, and without the project's folders.

    `keep` are patterns of names that this child needs though they may hold a secret.
    """
    child = {}
    for name, value in environ.items():
        kept = any(fnmatch.fnmatchcase(name, pattern) for pattern in keep)
        if name in _LEFT_OUT or (is_secret(name, value) and not kept):
            continue
        child[name] = value
    for name in _LISTS:
        if name in child:
            left = trusted_folders(child[name].split(os.pathsep), environ)
            child[name] = os.pathsep.join(left)
            if not left:  # an empty PYTHONPATH is none, but an empty PATH is the current folder
                del child[name]
    child.setdefault("PATH", os.defpath.lstrip(os.pathsep))
    return child


def child_environment(
    scratch: Path,
    seed: int,
    threads: int | None,
    environ: Mapping[str, str] = os.environ,
    *,
    trusted: bool = False,
) -> dict[str, str]:
    """Return a clean environment for a probe: offline, with temporary files in `scratch`.

    `threads` bounds the threads of numeric libraries, where the user has not said how many.
    `trusted`: the project's code may run, and PYTHONPATH may lead to it.
    """
    child = clean_environment((), environ)
    if trusted and (folders := _whole(environ.get("PYTHONPATH", ""))):
        child["PYTHONPATH"] = os.pathsep.join(folders)
    child.update(_OFFLINE)
    child["PYTHONHASHSEED"] = str(seed % 2**32)
    child["TMPDIR"] = str(scratch)
    for name in _LOOSENING:
        child.pop(name, None)
    # Where transformers copies a repository's code to, for those that the person allows.
    child["HF_MODULES_CACHE"] = str(scratch / "modules")
    # Without it cuBLAS gives results that differ from run to run.
    child.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if threads is not None:
        child.setdefault("OMP_NUM_THREADS", str(threads))
        child.setdefault("MKL_NUM_THREADS", str(threads))
    return child


def is_secret(name: str, value: str) -> bool:
    """Tell whether a variable looks like a secret, by its name or by its value."""
    name = name.upper()
    if name in _NO_SECRETS:
        return False
    if not _SECRET_WORDS.isdisjoint(name.split("_")) or _SECRET_ENDING.search(name):
        return True
    return bool(_SECRET_VALUE.search(value))
