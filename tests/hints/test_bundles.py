"""What is said of bundles: the hint, followed, mends it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from fetcher.bundle.writer import MARKER
from tests.hints.desk import Desk, about

NO_PLACE = "--from {location}: no bundle and no store there"


@about(
    "run `{command}` first: it brings the files",
    "choose another name, or replace it: --overwrite",
    "name the bundle that the other side has, or what `fetch mirror have`",
    "name a bundle, or what `fetch mirror have` wrote",
    "--since {path}",
    NO_PLACE,
    "--from {location}: no bundle and no store there (no folder",
    "name a bundle, or a store's folder",
    "run `fetch mirror export` again to finish it",
    "compare them, or choose another folder with --project",
    "a bundle on this machine is taken in by",
)
def test_bundles(desk: Desk, project: Path) -> None:
    desk.fails("mirror", "export", "b")
    desk.follow("run `{command}` first: it brings the files")
    desk.fetch("mirror", "export", "b")
    assert "choose another name" in desk.fails("mirror", "export", "models", "--overwrite").err
    assert "--overwrite" not in desk.fails("mirror", "export", "models").err
    (project / "b.tar").write_bytes(b"mine")
    desk.fails("mirror", "export", "b.tar")
    desk.again("choose another name, or replace it: --overwrite", "--overwrite")
    # What the other side has.
    desk.fails("mirror", "export", "d", "--since", "nothing")
    (project / "have").write_text(
        desk.follow("name the bundle that the other side has, or what `fetch mirror have`").out
    )
    desk.instead("--since {path}", "mirror", "export", "d", "--since", "have")
    (project / "bad").write_text((project / "have").read_text() + "x\n")
    desk.fails("mirror", "export", "e", "--since", "bad")
    desk.follow("name a bundle, or what `fetch mirror have` wrote")
    desk.fetch("mirror", "export", "e", "--since", "b")
    # A place that is none.
    for place in ("nowhere", "models"):
        desk.fails("all", "--from", place)
        desk.follow("name a bundle, or a store's folder")
    desk.instead("--from {location}: no bundle and no store there (no folder", "all", "--from", "b")
    desk.fails("all", "--from", "nowhere")
    desk.instead(NO_PLACE, "all", "--from", "b")
    # One that is not whole.
    (project / "b" / MARKER).write_text("")
    (project / "b/SHA256SUMS").unlink()
    desk.fails("mirror", "check", "b")
    desk.follow("run `fetch mirror export` again to finish it", more=["b"])
    desk.fetch("mirror", "check", "b")
    desk.fails("mirror", "pull", "b")
    desk.follow("a bundle on this machine is taken in by", more=["b"])
    other = project / "other"
    (other / "manifests").mkdir(parents=True)
    (other / "manifests/p.yaml").write_text("mine")
    desk.fails("mirror", "import", "b", "--project", other)
    desk.again(
        "compare them, or choose another folder with --project", "--project", project / "new"
    )


@about(
    "bring the signature along, or have the bundle signed",
    "--verify-key {key}",
    "--key {key}",
    "signed (not checked: --verify-key)",
    "is no bundle and has no signature",
    "use a signed bundle, or drop --verify-key",
)
def test_signatures(desk: Desk, project: Path, keys: Callable[[str], Path], hermetic: Path) -> None:
    key = keys("k")
    public = key.with_suffix(".pub")
    desk.fetch("all")
    desk.fetch("mirror", "export", "b")
    desk.fails("mirror", "check", "b", "--verify-key", public)
    desk.follow("bring the signature along, or have the bundle signed", more=["b", "--key", key])
    desk.fetch("mirror", "check", "b", "--verify-key", public)
    desk.fetch("mirror", "check", "b")
    desk.again("signed (not checked: --verify-key)", "--verify-key", public)
    (project / "x").write_text("x")
    desk.fails("mirror", "check", "b", "--verify-key", "x")
    desk.instead("--verify-key {key}", "mirror", "check", "b", "--verify-key", public)
    desk.fails("mirror", "sign", "b", "--key", "x")
    desk.instead("--key {key}", "mirror", "sign", "b", "--key", key)
    store = hermetic / "store"
    (project / "models/m/config.json").unlink()
    shutil.rmtree(store / "blobs")
    (store / "blobs/sha256").mkdir(parents=True)
    desk.fails("all", "--overwrite", "--from", store, "--verify-key", public)
    desk.again("use a signed bundle, or drop --verify-key", without=["--verify-key", str(public)])
    desk.instead("is no bundle and has no signature", "all", "--from", "b", "--verify-key", public)
