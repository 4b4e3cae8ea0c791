"""Reserved names, one by one: who owns which, where, and in which spelling."""

from __future__ import annotations

import pytest

from fetcher.fs.reserved import folded, is_private, is_reserved, is_secret


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("A.B", "a.b"),
        (".Git ", ".git"),
        (".git..", ".git"),
        (".git. .", ".git"),
        (".gi\u200dt", ".git"),
        ("\ufeff.git", ".git"),
        ("É", "e\u0301"),
        (" .git", " .git"),
        (". .x", ". .x"),
    ],
)
def test_what_a_file_system_may_see(name: str, same: str) -> None:
    assert folded(name) == same


@pytest.mark.parametrize(
    ("name", "owner"),
    [
        (".git", "git"),
        (".GIT", "git"),
        (".g\u200dit", "git"),
        ("\u200d.git", "git"),
        (".fetch", "fetch"),
        (".hg", "version control"),
        ("_darcs", "version control"),
        ("_DARCS", "version control"),
        ("pyvenv.cfg", "Python"),
        ("PYVENV.CFG.", "Python"),
        ("git~1", "git"),
        ("GIT~9", "git"),
        ("git~12", "git"),
        ("fetch~1", "fetch"),
        ("FETCH~1", "fetch"),
        ("git~0", ""),
        ("git~1.abcd", ""),
        ("git~1.abc", "git"),
        ("gits~1", ""),
        ("models~1", ""),
        (".gitignore", ""),
        (".github", ""),
        ("git", ""),
        ("fetch", ""),
        ("model.bin", ""),
        ("모델", ""),
        ("Φ", ""),
        ("pyvenv", ""),
    ],
)
def test_names_that_belong_to_somebody_everywhere(name: str, owner: str) -> None:
    assert is_private(name) == owner


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        *((name, True) for name in (".env", ".ENV", ".envrc", ".netrc", ".npmrc", ".pypirc")),
        *((name, True) for name in (".ssh", ".env.local", ".env.", ".Env.Production")),
        *((name, False) for name in ("env", ".gitkeep", ".bashrc", "x.env", "fetch.yaml")),
    ],
)
def test_names_that_hold_secrets(name: str, secret: bool) -> None:
    assert is_secret(name) == ("the shell" if secret else "")


@pytest.mark.parametrize(
    ("path", "owner"),
    [
        ("fetch.yaml", "fetch"),
        ("FETCH.lock", "fetch"),
        ("manifests/x.yaml", "fetch"),
        ("manifests", "fetch"),
        ("m/manifests/x.yaml", ""),
        (".gitmodules", "git"),
        (".env", "the shell"),
        (".env.local", "the shell"),
        (".env.d/x", "the shell"),
        (".gitkeep", ""),
        (".github/workflows/x.yml", "a build server"),
        (".vscode/tasks.json", "an editor"),
        ("Makefile", "a build or test tool"),
        ("MANIFE~1/x", "fetch"),
        ("FETCH~1.YAM", "fetch"),
        ("GITHUB~1", "a build server"),
        ("GITMOD~1", "git"),
        ("FETCHG~1.JSO", "fetch"),
        ("ABCDEF~1", ""),
        ("models~1", ""),
        # Modules that would be taken in place of Python's own or those of a program here.
        ("json.py", "Python"),
        ("JSON.PY", "Python"),
        ("json.pyc", "Python"),
        ("json.cpython-311-x86_64-linux-gnu.so", "Python"),
        ("json.pyi", "Python"),
        ("json.pyd", "Python"),
        ("torch.py", "Python"),
        ("sitecustomize.py", "Python"),
        ("json.txt", ""),
        ("json", ""),
        ("model.py", ""),
        ("modeling_x.py", ""),
        ("my.json.py", ""),
        ("torch/__init__.py", "Python"),
        ("torch/__INIT__.py", "Python"),
        ("torch/__main__.py", "Python"),
        ("torch/__init__.pyc", "Python"),
        ("torch/weights.bin", ""),
        ("torch/x/__init__.py", ""),
        ("model/__init__.py", ""),
        ("x/json.py", ""),
        ("json/decoder.py", ""),
    ],
)
def test_names_at_a_root(path: str, owner: str) -> None:
    assert is_reserved(path.split("/")) == owner
