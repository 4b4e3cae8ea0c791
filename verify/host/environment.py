"""Which interpreter a probe runs under, and the environment variables that it sees."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_SECRET_WORDS = frozenset(
    {"APIKEY", "AUTH", "CREDENTIAL", "CREDENTIALS", "KEY", "PASSPHRASE", "PASSWD", "PASSWORD"}
    | {"PAT", "PROXY", "SECRET", "TOKEN", "TOKENS"}
)
_URL_WITH_CREDENTIALS = re.compile(r"://[^/\s@]+@")
_OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "DO_NOT_TRACK": "1",
    "WANDB_MODE": "disabled",
}


def interpreter(python: str | None, environ: Mapping[str, str] = os.environ) -> str:
    """Return the interpreter to prove models with, as an absolute path if it is one.

    `python` is an interpreter, or the folder of a virtual environment. By default the active
    virtual or conda environment decides, as the project's own libraries are what must work.
    """
    if python is not None:
        given = Path(python).expanduser()
        if given.is_dir():
            return str(_inside(given).absolute())
        # A bare name is looked up in PATH when it is started. Links stay: a venv is one.
        return str(given.absolute()) if os.sep in python else python
    for variable in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        folder = environ.get(variable)
        if folder and _inside(Path(folder)).exists():
            return str(_inside(Path(folder)).absolute())
    return sys.executable


def _inside(folder: Path) -> Path:
    return folder / "bin" / "python"


def child_environment(
    scratch: Path, seed: int, threads: int | None, environ: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """Return `environ` without secrets, offline, with temporary files in `scratch`.

    `threads` bounds the threads of numeric libraries, where the user has not said how many.
    """
    child = {name: value for name, value in environ.items() if not _is_secret(name, value)}
    child.update(_OFFLINE)
    child["PYTHONHASHSEED"] = str(seed % 2**32)
    child["TMPDIR"] = str(scratch)
    # Without it cuBLAS gives results that differ from run to run.
    child.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if threads is not None:
        child.setdefault("OMP_NUM_THREADS", str(threads))
        child.setdefault("MKL_NUM_THREADS", str(threads))
    return child


def _is_secret(name: str, value: str) -> bool:
    words = name.upper().split("_")
    return not _SECRET_WORDS.isdisjoint(words) or bool(_URL_WITH_CREDENTIALS.search(value))
