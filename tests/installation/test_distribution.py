"""How fetch was installed, and whether the lines that it gives can be typed."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import pytest

from fetcher.installation import commands, distribution
from fetcher.installation.distribution import Origin
from tests.conftest import Cli

OURS = "[console_scripts]\nfetch = fetcher.__main__:main\n"
GIT = {"url": "https://host/us/fetch.git", "vcs_info": {"vcs": "git", "commit_id": "a" * 40}}
ORIGINS = [
    (None, Origin("index"), "-U model-fetcher"),
    (GIT, Origin("git", GIT["url"]), "-U 'model-fetcher @ git+https://host/us/fetch.git'"),  # type: ignore[arg-type]
    (
        {**GIT, "vcs_info": {"vcs": "git", "commit_id": "a" * 40, "requested_revision": "v1"}},
        Origin("git", "https://host/us/fetch.git", "v1"),
        "-U 'model-fetcher @ git+https://host/us/fetch.git@v1'",
    ),
    ({"url": "file:///tmp/f-1.whl", "archive_info": {}}, Origin("archive", "/tmp/f-1.whl"), ""),
    (
        {"url": "https://host/f-1.whl", "archive_info": {}},
        Origin("archive", "https://host/f-1.whl"),
        "",
    ),
    ({"url": 3}, Origin("index"), "-U model-fetcher"),
]


class Site:
    """A folder of installed distributions, and an environment's root."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, name: str, points: str = OURS, direct: object = None, top: str = "") -> Path:
        info = self.folder / f"{name.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        told = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nProvides-Extra: 7z\n"
        told += "Requires-Dist: click>=8\nRequires-Dist: py7zr>=1.0; extra == '7z'\n"
        (info / "METADATA").write_text(told)
        (info / "entry_points.txt").write_text(points)
        (info / "RECORD").write_text("fetcher/__init__.py,,\nother/x.py,,\n" if not top else "")
        if top:
            (info / "top_level.txt").write_text(f"{top}\n")
        if direct is not None:
            (info / "direct_url.json").write_text(json.dumps(direct))
        return info


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "env"))
    monkeypatch.setattr(sys, "executable", "/an env/bin/python")
    monkeypatch.setattr("fetcher.installation.commands._has_pip", lambda: True)
    (tmp_path / "env").mkdir()
    return Site(tmp_path)


@pytest.mark.parametrize(("direct", "origin", "upgrade"), ORIGINS)
def test_an_upgrade_comes_from_where_fetch_came(
    site: Site, direct: object, origin: Origin, upgrade: str
) -> None:
    site.install("model-fetcher", direct=direct)
    assert distribution.origin() == origin
    assert commands.upgrade() == (
        f"'/an env/bin/python' -m pip install {upgrade}" if upgrade else ""
    )


@pytest.mark.parametrize("editable", [True, False])
def test_a_folder_is_brought_up_to_date_first(site: Site, editable: bool) -> None:
    folder = site.folder / "my fetch"
    address = f"{folder.as_uri()}"
    site.install("model-fetcher", direct={"url": address, "dir_info": {"editable": editable}})
    assert distribution.origin() == Origin("editable" if editable else "folder", str(folder))
    assert commands.upgrade() == "", "it is gone"
    folder.mkdir()
    option = "-e " if editable else ""
    line = f"'/an env/bin/python' -m pip install -U {option}'{folder}'"
    assert commands.upgrade() == line
    (folder / ".git").mkdir()
    assert commands.upgrade() == f"git -C '{folder}' pull && {line}"


def test_what_an_extra_adds_is_named_by_itself(site: Site) -> None:
    assert commands.install_extra("7z", "py7zr") == "'/an env/bin/python' -m pip install py7zr"
    site.install("model-fetcher")
    assert distribution.extras() == ("7z",)
    assert shlex.split(commands.install_extra("7z")) == [
        *("/an env/bin/python", "-m", "pip", "install", "py7zr>=1.0"),
    ]


@pytest.mark.parametrize(
    ("receipt", "library", "newer", "upgrade"),
    [
        (
            "pipx_metadata.json",
            "pipx inject env 'a>=1'",
            "pipx runpip env install -U a",
            "pipx upgrade env",
        ),
        (
            "uv-receipt.toml",
            "uv pip install --python '/an env/bin/python' 'a>=1'",
            "uv pip install --python '/an env/bin/python' -U a",
            "uv tool upgrade env",
        ),
    ],
)
def test_tools_that_install_programs_are_known(
    site: Site, receipt: str, library: str, newer: str, upgrade: str
) -> None:
    (site.folder / "env" / receipt).touch()
    site.install("model-fetcher")
    assert commands.install("a>=1") == library
    assert commands.install("a", upgrade=True) == newer
    assert commands.upgrade() == upgrade


def test_an_environment_without_pip_has_uv(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fetcher.installation.commands._has_pip", lambda: False)
    assert commands.install("a") == "uv pip install --python '/an env/bin/python' a"
    assert commands.without("fetcher").startswith("uv pip uninstall --python")


def test_the_former_name_is_ours_and_a_namesake_is_not(site: Site) -> None:
    info = site.install("fetcher", points="")
    assert distribution.own() is None and distribution.extras() == ()
    (info / "entry_points.txt").write_text(OURS)
    former = distribution.own()
    assert former is not None and former.metadata["Name"] == "fetcher"
    site.install("model-fetcher")
    found = distribution.own()
    assert found is not None and found.metadata["Name"] == "model-fetcher"


def test_two_distributions_that_own_the_same_files_are_seen(site: Site) -> None:
    site.install("Model_Fetcher", top="fetcher")
    assert distribution.owners() == [("model-fetcher", "1.0")]
    site.install("another", top="other")
    assert distribution.owners() == [("model-fetcher", "1.0")]
    site.install("fetcher", points="")
    assert distribution.owners() == [("fetcher", "1.0"), ("model-fetcher", "1.0")]
    line = commands.without("fetcher")
    assert "pip uninstall -y fetcher && " in line
    assert line.endswith("--force-reinstall --no-deps model-fetcher")


def test_doctor_says_what_mends_it(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FETCH_OFFLINE", "1")
    monkeypatch.setattr(distribution, "owners", lambda: [("model-fetcher", "0.2.0")])
    assert "in one folder" not in cli("doctor").out
    both = [("fetcher", "0.1.0"), ("model-fetcher", "0.2.0")]
    monkeypatch.setattr(distribution, "owners", lambda: both)
    found = cli("doctor", "--json")
    (told,) = [one for one in found.json["results"] if "in one folder" in one["text"]]
    assert told["level"] == "note" and "fetcher 0.1.0, model-fetcher 0.2.0" in told["text"]
    line = told["text"].partition("other: ")[2]
    assert shlex.split(line)[:6] == [sys.executable, "-m", "pip", "uninstall", "-y", "fetcher"]
