"""The catalog is read once by a process, and again where anything of it is no longer the same."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from fetcher.errors import Failure, InvalidDocument, UsageError
from fetcher.project import project as projects
from fetcher.project.manifest import Manifest
from fetcher.project.project import Project, Unit
from fetcher.yamldoc.nodes import Document

ROOT = Path(__file__).parents[2]


@pytest.fixture
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A catalog of its own that can be changed."""
    folder = tmp_path / "catalog"
    for kind in ("manifests", "layouts"):
        (folder / kind).mkdir(parents=True)
        shutil.copy(ROOT / kind / "quickstart.yaml", folder / kind)
    monkeypatch.setattr(projects, "catalog_folder", lambda kind: folder / kind)
    return folder


def read(root: Path) -> Unit:
    (unit,) = Project(root).load(["quickstart"])
    return unit


def test_it_is_read_once(catalog: Path, tmp_path: Path) -> None:
    root = tmp_path / "project"
    root.mkdir()
    assert read(root) is read(root)
    assert read(root) is read(tmp_path), "whatever the project"


@pytest.mark.parametrize("kind", ["manifests", "layouts"])
def test_what_is_changed_is_read_again(catalog: Path, tmp_path: Path, kind: str) -> None:
    before, path = read(tmp_path), catalog / kind / "quickstart.yaml"
    text = path.read_text("utf-8")
    path.write_text(f"{text}title: changed\n" if "\ntitle:" not in text else text + "\n# more\n")
    os.utime(path, (1, 1))
    after = read(tmp_path)
    assert after is not before
    assert after is read(tmp_path)
    path.write_text(text + "sorce: x\n")
    for _ in range(2):
        with pytest.raises(InvalidDocument, match="sorce"):
            read(tmp_path)
    path.unlink()
    with pytest.raises((InvalidDocument, UsageError)):
        read(tmp_path)


def test_a_layout_of_the_project_s_own_comes_first(catalog: Path, tmp_path: Path) -> None:
    common, root = read(tmp_path), tmp_path / "project"
    (root / "layouts").mkdir(parents=True)
    text = (catalog / "layouts/quickstart.yaml").read_text("utf-8")
    (root / "layouts/quickstart.yaml").write_text(text + "\n")
    # The catalog's own folder is nearer than the project's.
    (catalog / "layouts/quickstart.yaml").unlink()
    own = read(root)
    assert own is not common and own.layout.path == root / "layouts/quickstart.yaml"
    assert read(root) is not own, "a person writes it: it is read each time"


def test_who_examines_them_is_asked(catalog: Path, tmp_path: Path) -> None:
    def refuse(manifest: Manifest, document: Document) -> None:
        document.at(1, 1, f"not {manifest.name}")

    read(tmp_path)
    for _ in range(2):
        with pytest.raises(InvalidDocument, match="not quickstart"):
            Project(tmp_path, refuse).load(["quickstart"])
    assert read(tmp_path)


def test_what_it_is_called_in_messages_is_as_seen_from_here(
    catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert read(tmp_path).manifest.file == "catalog/manifests/quickstart.yaml"
    monkeypatch.chdir(catalog)
    assert read(tmp_path).manifest.file == "manifests/quickstart.yaml"


@pytest.mark.parametrize("kind", ["manifests", "layouts"])
def test_a_link_out_of_the_project_is_refused(catalog: Path, tmp_path: Path, kind: str) -> None:
    """Where the catalog stands in the project: after it was read as well."""
    assert read(catalog)
    path = catalog / kind / "quickstart.yaml"
    path.rename(tmp_path / "elsewhere.yaml")
    path.symlink_to(tmp_path / "elsewhere.yaml")
    with pytest.raises(Failure):
        read(catalog)
