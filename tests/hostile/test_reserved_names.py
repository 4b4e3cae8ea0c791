"""Content from upstream that would be read as configuration, or run: refused by its name."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fetcher.fs.reserved import is_private, is_reserved
from tests.conftest import Cli, write_project

NAMES = [
    *("fetch.yaml", "fetch.lock", "fetch.golden.json", "manifests/x.yaml", "layouts/x.yaml"),
    *(".env", ".env.local", ".envrc", "sitecustomize.py", "usercustomize.py", "json.py"),
    *("torch/__init__.py", "conftest.py", "setup.py", "pyproject.toml", "Makefile", "tox.ini"),
    *(".venv/bin/python", "venv/bin/activate", ".github/workflows/x.yml", ".gitlab-ci.yml"),
    *(".gitmodules", ".gitattributes", ".gitignore", ".pre-commit-config.yaml", ".husky/pre-push"),
    *(".vscode/tasks.json", ".idea/x.xml", ".devcontainer/devcontainer.json", ".circleci/c.yml"),
    *("docker-compose.override.yml", "jest.config.js", "x.egg-info/entry_points.txt", "Pipfile"),
    *(
        "y-1.0.dist-info/entry_points.txt",
        ".flake8",
        ".bash_aliases",
        ".tmux.conf",
        ".nobody-knows",
    ),
    *(".aws/credentials", ".yarn/plugins/x.cjs", "hatch_build.py", "build.gradle"),
    *("poetry.lock", "uv.lock", "AGENTS.md", "claude.md", "mkdocs.yml"),
    *("__init__.py", "test_x.py", "x_test.py", "renovate.json", "cloudbuild.yaml", "go.mod"),
    *("x/pyvenv.cfg", "pyvenv.cfg", "x/.fetch/state.db", ".bashrc", ".ssh/authorized_keys"),
]


def project(root: Path, names: list[str], layout: str, more: str = "") -> None:
    """A project whose artifact comes from its own folder `up`, with files of these names."""
    for name in names:
        path = root / "up" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("content")
    files = ", ".join(f"{name!r}" for name in names)
    artifact = f"artifacts:\n  a: {{source: local:up, files: [{files}]{more}}}\n"
    write_project(root, "p", artifact, f"tree:\n{layout}")


@pytest.mark.parametrize("name", [n for n in NAMES if ".fetch" not in n and ".env" not in n])
def test_upstream_names_a_file_that_tools_read(cli: Cli, tmp_path: Path, name: str) -> None:
    """A whole artifact laid into the root brings configuration or code of its own."""
    project(tmp_path, [name, "w.bin"], "  ./: a\n")
    found = cli("all", "--json")
    assert found.code == 4 and found.codes == {"bad-path"}, found
    error = found.json["errors"][0]
    assert name in error["message"]
    (left_out,) = re.findall(r"exclude: (\[.*\])", error["hint"])
    assert yaml.safe_load(left_out) == [name]
    assert not (tmp_path / "w.bin").exists(), "an artifact that cannot stand is not begun"
    assert not (tmp_path / name).exists() or "content" not in (tmp_path / name).read_text()


def test_the_hint_can_be_followed(cli: Cli, tmp_path: Path) -> None:
    """No attack: an ordinary model repository, with .gitattributes and code."""
    names = [".gitattributes", "README.md", "setup.py", "config.json", "modeling_x.py", "Makefile"]
    project(tmp_path, names, "  ./: a\n")
    assert cli("all").code == 4
    left_out = ", exclude: ['.gitattributes', 'setup.py', 'Makefile']"
    project(tmp_path, names, "  ./: a\n", left_out)
    assert cli("all").code == 0 and (tmp_path / "modeling_x.py").exists()
    project(tmp_path, names, "  third_party/m/: a\n")
    assert cli("all").code == 0
    assert (tmp_path / "third_party/m/setup.py").read_text() == "content"


def test_names_are_free_below_a_folder(cli: Cli, tmp_path: Path) -> None:
    """No attack: below a folder of its own, a model may have any file that tools look for."""
    names = ["setup.py", ".gitattributes", ".github/x.yml", "conftest.py", "manifests/a.tsv",
             "json.py", "torch/__init__.py", "Dockerfile"]  # fmt: skip
    project(tmp_path, names, "  models/m/: a\n")
    assert cli("all").code == 0, cli("all").err
    assert all((tmp_path / "models/m" / name).exists() for name in names)


@pytest.mark.parametrize("target", ["conftest.py", "fetch.yaml", "manifests/q.yaml", "FETCH.YAML",
                                    ".GitHub/workflows/x.yml", "Sitecustomize.PY"])  # fmt: skip
def test_a_layout_gives_content_such_a_name(cli: Cli, tmp_path: Path, target: str) -> None:
    """The layout renames a harmless file of upstream's: it is data from elsewhere all the same."""
    project(tmp_path, ["w.bin"], f"  {target}: a/w.bin\n")
    assert cli("all", "--json").codes == {"bad-path"}
    assert not (tmp_path / target).exists()


@pytest.mark.parametrize(("link", "target"), [(".", "x/fetch.yaml"), ("manifests", "x/q.yaml"),
                                              ("sub", "x/.env")])  # fmt: skip
def test_a_link_gives_content_such_a_place(
    cli: Cli, tmp_path: Path, link: str, target: str
) -> None:
    """`x` is a link back to the root, or to manifests/: the text of the target is harmless."""
    (tmp_path / "sub/.git").mkdir(parents=True)
    project(tmp_path, ["w.bin"], f"  {target}: a/w.bin\n")
    (tmp_path / "x").symlink_to(link)
    assert "bad-path" in cli("all", "--json").codes
    assert not (tmp_path / target).exists()


def test_a_submodule_has_a_root_of_its_own(cli: Cli, tmp_path: Path) -> None:
    """Configuration in a repository below the project is read there."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/.git").write_text("gitdir: ../.git/modules/lib")
    project(tmp_path, [".pre-commit-config.yaml"], "  lib/: a\n")
    assert cli("all", "--json").codes == {"bad-path"}
    assert not (tmp_path / "lib/.pre-commit-config.yaml").exists()


def test_the_persons_home_is_a_root(
    cli: Cli, tmp_path: Path, hermetic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--into a folder above it, or a link that is allowed: .bashrc is what a shell runs."""
    project(tmp_path / "clone", ["w.bin"], f"  {hermetic.name}/.bashrc: a/w.bin\n")
    arguments = ("all", "--into", hermetic.parent, "--json")
    assert cli(*arguments, cwd=tmp_path / "clone").codes == {"bad-path"}
    project(tmp_path / "clone", ["w.bin"], "  models/.bashrc: a/w.bin\n")
    (tmp_path / "clone/models").symlink_to(hermetic)
    monkeypatch.setenv("FETCH_ALLOW_LINKS", str(hermetic))
    assert cli("all", "--json", cwd=tmp_path / "clone").codes == {"bad-path"}
    assert not (hermetic / ".bashrc").exists()


def test_into_above_the_project(cli: Cli, tmp_path: Path) -> None:
    """With --into .. the layout could name the project's own files."""
    root = tmp_path / "clone"
    project(root, ["w.bin"], "  clone/fetch.yaml: a/w.bin\n")
    assert cli("all", "--into", tmp_path, "--json", cwd=root).codes == {"bad-path"}
    assert not (root / "fetch.yaml").exists()


@pytest.mark.parametrize("name", NAMES)
def test_every_spelling_of_a_name_is_refused(name: str) -> None:
    """File systems fold case, forms and invisible marks, and drop dots at the end."""

    def kept(spelled: str) -> bool:
        parts = spelled.split("/")
        return not any(map(is_private, parts)) and not is_reserved(parts)

    assert not kept(name)
    head, slash, rest = name.partition("/")
    others = [head.upper(), head.title(), head + ".", head + " ", f"{head[0]}\u200d{head[1:]}"]
    for spelled in (*others, unicodedata.normalize("NFD", head)):
        assert not kept(spelled + slash + rest), spelled


@pytest.mark.parametrize("name", ["MANIFE~1/x", "FETCH~1.YAM", "ENV~1", "GIT~1/config", "a/git~1/x",
                                  "GITHUB~1/x", "LAYOUT~2/x"])  # fmt: skip
def test_short_names_of_windows_are_refused(name: str) -> None:
    """On NTFS a long name has a short one too."""
    parts = name.split("/")
    assert any(map(is_private, parts)) or is_reserved(parts)


@given(st.lists(st.text(min_size=1).filter(lambda s: "/" not in s), min_size=1, max_size=4))
def test_any_name_is_judged(parts: list[str]) -> None:
    """Names that nobody thought of break nothing."""
    assert isinstance(is_reserved(parts), str)
    assert all(isinstance(is_private(part), str) for part in parts)


@pytest.mark.parametrize(
    "name",
    ["model.safetensors", "README.md", "net.pth", "pytorch_model.bin", "modeling_llama.py",
     "tokenizer.json", "data/env/x", "LICENSE", "environment.yml", "a~1.bin", "git", "fetch",
     ".gitkeep", ".DS_Store", ".cache/x.bin", ".weights/x.bin", "config.js", "a.egg.bin",
     "requirements.txt", "config.json", "manifest.json", "torch.bin", "env/a.txt"],
)  # fmt: skip
def test_ordinary_names_are_free(name: str) -> None:
    """No attack: what model repositories hold."""
    parts = name.split("/")
    assert not any(map(is_private, parts)) and not is_reserved(parts)
