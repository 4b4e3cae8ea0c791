"""What stands in a folder that other programs share: the hint, followed, mends it."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import write_project
from tests.e2e.conftest import WEIGHTS
from tests.hints.desk import Desk, about
from tests.servers.hub import HubServer


@about("if nothing needs it: remove it yourself")
def test_a_librarys_folder_has_other_bytes(desk: Desk, project: Path, hermetic: Path) -> None:
    write_project(
        project,
        "p",
        "artifacts:\n  m: {source: 'hf:o/m', exclude: .gitattributes}\n",
        "torch_hub: {checkpoints/: m}\n",
    )
    desk.fetch("config", "allow", "roots", "torch_hub")
    target = hermetic / ".cache/torch/hub/checkpoints/model.safetensors"
    target.parent.mkdir(parents=True)
    target.write_bytes(b"other")
    desk.fails("all")
    target.unlink()
    desk.follow("if nothing needs it: remove it yourself")
    assert target.read_bytes() == WEIGHTS


@about("remove {blob}, then run `fetch all`")
def test_a_blob_of_the_hugging_face_cache(
    desk: Desk, project: Path, hub: HubServer, hermetic: Path
) -> None:
    write_project(
        project,
        "p",
        "artifacts:\n  m: {source: 'hf:o/m', exclude: .gitattributes}\n",
        "tree: {}\nhub_cache: [m]\n",
    )
    desk.fetch("all")
    blobs = [
        path for path in (hermetic / "huggingface").rglob("blobs/*") if path.stat().st_size > 9999
    ]
    (blob,) = blobs
    blob.chmod(0o644)
    blob.unlink()
    blob.write_bytes(b"other")
    desk.fails("all")
    values = desk.said("remove {blob}, then run `fetch all`").values
    Path(values["blob"]).unlink()
    desk.follow("remove {blob}, then run `fetch all`")
    desk.fetch("check", "--deep")
    assert blob.read_bytes() == WEIGHTS
