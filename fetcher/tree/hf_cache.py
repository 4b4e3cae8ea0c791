"""The Hugging Face cache: artifacts placed so that its clients find them by id, without network.

The form is the one that huggingface_hub 0.30 to 2.x read: `blobs/<etag>`, relative symlinks in
`snapshots/<commit>/`, and the branch's commit in `refs/`.
"""

from __future__ import annotations

import os
import re
import stat as stats
from collections.abc import Callable
from pathlib import Path

from fetcher.fs.atomic import copy, private_name, publish, sha256_of, write_atomically
from fetcher.fs.safe_paths import BadPath, check_relative
from fetcher.sources.base import FileEntry, Source
from fetcher.sources.huggingface import HuggingFace
from fetcher.tree.plan import Item, row_of
from fetcher.tree.state import Row


class CachedBlobs:
    """What a Hugging Face cache already holds, found by digest. Nothing is read."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._folders: dict[Source, str] = {}  # "" for a repository that is not there

    def find(self, source: Source, file: FileEntry) -> str | None:
        """The cache's blob of a file, which is named by its digest, or None."""
        folder = self._folders.get(source)
        if folder is None:
            folder = self._folders[source] = self._folder(source)
        name = file.sha256 if file.lfs else file.git_blob
        if not folder or not name:
            return None
        path = f"{folder}{os.sep}{name}"
        try:
            stat = os.lstat(path)
        except OSError:
            return None
        whole = stats.S_ISREG(stat.st_mode) and file.size in {None, stat.st_size}
        return path if whole else None

    def _folder(self, source: Source) -> str:
        if not isinstance(source, HuggingFace):
            return ""
        folder = self._cache / source.cache_folder / "blobs"
        return str(folder) if folder.is_dir() else ""


class HubCache:
    """Places items there. `link_blob(sha256, path)` makes a new file from a blob of the store;
    `kept_path(relative)` gives a place to keep what stands in the way."""

    def __init__(
        self, link_blob: Callable[[str, str], None], kept_path: Callable[[str], Path]
    ) -> None:
        self._link_blob = link_blob
        self._kept_path = kept_path
        self._refs: set[tuple[str, str]] = set()

    def place(self, item: Item, sha256: str) -> Row:
        """Blob by its ETag, symlink in the snapshot, ref. Raises OSError."""
        blob = Path(item.hub, "blobs", item.file.git_blob or sha256)
        path = Path(item.path)
        self._make_way(item, path)
        path.parent.mkdir(parents=True, exist_ok=True)
        blob.parent.mkdir(parents=True, exist_ok=True)
        if blob.exists() and sha256_of(str(blob)) != sha256:
            blob.unlink()  # a half or damaged download of another tool, under a content's name
        if not blob.exists():
            self._publish(sha256, str(blob))
        if not os.path.lexists(path):
            try:
                os.symlink(os.path.relpath(blob, path.parent), path)
            except OSError:  # Windows without the privilege: a plain file serves as well
                self._publish(sha256, str(path))
        self._point_ref(item)
        return row_of(item, sha256, os.stat(path))

    def _make_way(self, item: Item, path: Path) -> None:
        if not os.path.lexists(path):
            return
        if item.aside and path.exists():
            copy(str(path), str(self._kept_path(str(path.relative_to(Path(item.hub).parent)))))
            path.unlink()
        elif not path.exists():
            path.unlink()  # a link whose blob is gone

    def _publish(self, sha256: str, target: str) -> None:
        temporary = private_name(target)
        self._link_blob(sha256, temporary)
        try:
            publish(temporary, target)
        except FileExistsError:
            pass  # another run was faster

    def _point_ref(self, item: Item) -> None:
        """Point the branch at the snapshot, so that loading by id finds it offline."""
        snapshot = Path(item.path).parts[len(Path(item.hub).parts) + 1]
        revision = str(getattr(item.artifact.source, "revision", "main"))
        ref = "main" if re.fullmatch(r"[0-9a-f]{40}", revision) else revision
        try:
            check_relative(ref)
        except BadPath:
            return
        if (item.hub, ref) in self._refs:
            return
        self._refs.add((item.hub, ref))
        path = Path(item.hub, "refs", *ref.split("/"))
        if not path.exists() or path.read_text("utf-8", "replace").strip() != snapshot:
            write_atomically(path, snapshot.encode())
