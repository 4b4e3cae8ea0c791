"""A tree, a store and a layout to plan and place with, without a command around them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fetcher.fs.boundary import Boundary, nowhere
from fetcher.project.layout import Entry, Layout
from fetcher.project.lockfile import Lock, locked
from fetcher.project.manifest import Artifact, Manifest
from fetcher.project.project import Unit
from fetcher.sources.base import FileEntry, Request, Source
from fetcher.sources.huggingface import HuggingFace
from fetcher.store.store import Store
from fetcher.tree.placer import Placer
from fetcher.tree.plan import Item, Plan
from fetcher.tree.planner import Planner
from fetcher.tree.state import StateRow
from fetcher.tree.state_rows import KnownRows
from tests.kit import git_blob, sha256

COMMIT = "c" * 40


def known(path: str, data: bytes) -> FileEntry:
    return FileEntry(path, len(data), sha256(data))


def by_git(path: str, data: bytes) -> FileEntry:
    return FileEntry(path, len(data), None, git_blob(data))


class Desk:
    """One artifact, `a` of manifest `m`; a layout is given as targets with what stands there."""

    def __init__(self, root: Path) -> None:
        self.tree = root / "tree"
        self.tree.mkdir(parents=True)
        self.store = Store(root / "store")
        self.hub = root / "hub"
        self.rows: dict[str, StateRow] = {}
        self.permit: Callable[[Path], bool] = nowhere

    def put(self, data: bytes, git: bool = False) -> str:
        """Put a content into the store; returns its sha256."""
        self.store.prepare()
        path = self.store.temporary()
        Path(path).write_bytes(data)
        self.store.commit(path, sha256(data), git_blob(data) if git else "")
        return sha256(data)

    def file(self, name: str, data: bytes) -> Path:
        """Put a file into the tree."""
        path = self.tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def unit(
        self,
        files: list[FileEntry],
        layout: Mapping[str, str],
        root: str = "",
        source: Source | None = None,
        id: str = "a",
        revision: str = COMMIT,
        count: int | None = None,
        writable: bool = False,
        **more: Any,
    ) -> tuple[Unit, Artifact, Lock]:
        entries = []
        for line, (target, value) in enumerate(layout.items(), 1):
            name, _, path = value.partition("/")
            entries.append(Entry(target.rstrip("/"), target.endswith("/"), name, path, line, 3))
        places = {f"edits:{name}": (7, 5) for name in more.get("edits", ())}
        made = Layout("l", "layouts/l.yaml", root, entries=entries, places=places, **more)
        artifact = Artifact(
            id,
            "m",
            source or HuggingFace("o/n"),
            request=Request(),
            count=count,
            writable=writable,
        )
        entry = locked(artifact, revision, files)
        return Unit(Manifest("m", "m.yaml"), made), artifact, Lock({("m", id): entry})

    def planner(self, quick: bool = False, deep: bool = False) -> Planner:
        boundary = Boundary(self.tree, self.permit)
        return Planner(boundary, self.store, KnownRows(self.rows), self.hub, quick, deep)

    def plan(
        self,
        files: list[FileEntry],
        layout: Mapping[str, str] | None = None,
        quick: bool = False,
        deep: bool = False,
        **more: Any,
    ) -> Plan:
        """The plan for one artifact, by default laid into the folder m/."""
        unit, artifact, lock = self.unit(files, layout or {"m/": "a"}, **more)
        return self.planner(quick, deep).plan([(unit, artifact)], lock)

    def only(self, data: bytes, name: str = "f", **more: Any) -> Item:
        """The plan's item for one file m/f of this content."""
        plan = self.plan([known(name, data)], **more)
        (item,) = plan.items
        return item

    def place(self, plan: Plan, link: str = "auto", **more: Any) -> Placer:
        """Place what is in the store, and note its rows."""
        placer = Placer(Boundary(self.tree, self.permit), self.store, link, **more)
        todo = [(item, item.sha256, None) for item in plan.items if item.action == "place"]
        rows, problems = placer.place(todo)
        placer.close()
        assert problems == []
        self.rows |= {row.path: row for row in rows}
        return placer
