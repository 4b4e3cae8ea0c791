"""`fetch mirror export`, step by step: collect, plan, look at the disk, write."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from fetcher.bundle import delta, publisher_signatures, wheelhouse, writer
from fetcher.bundle.bundle_plan import BundleFile, BundlePlan, plan_bundle
from fetcher.bundle.export_contents import collect, fetching
from fetcher.config.boundaries import check_output
from fetcher.errors import Failure, FetchError, Problem, UsageError
from fetcher.fs.free_space import nearest_folder
from fetcher.fs.private_files import scratch_folder
from fetcher.i18n import t
from fetcher.mirror.bundle import ArtifactSummary, is_bundle, open_bundle, summary_of
from fetcher.mirror.volumes import parse_sums, sums_path
from fetcher.operations.workspace import Workspace
from fetcher.tree.state import State

_log = logging.getLogger(__name__)
_SIZE = re.compile(r"(\d+)([kKmMgGtT]?)(i?)[bB]?")


@dataclass
class ExportResult:
    """What an export did."""

    artifacts: list[ArtifactSummary] = field(default_factory=list)
    files: int = 0
    bytes: int = 0
    left_out: int = 0
    bundle_bytes: int = 0
    volumes: int = 0
    digest: str = ""
    written: bool = False
    problems: list[Problem] = field(default_factory=list)


def size_of(text: str | None) -> int:
    """Bytes of a size such as 4G (10^9) or 4Gi (2^30); 0 for None. Raises UsageError."""
    if text is None:
        return 0
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise UsageError(t("--volume-size {text!r}, expected a size such as 4G or 650M", text=text))
    base = 1024 if found[3] else 1000
    size: int = int(found[1]) * base ** " kmgt".index(found[2].lower() or " ")
    if not size:
        raise UsageError(t("--volume-size 0: a volume must hold something"), t("such as 4G"))
    return size


def export(
    space: Workspace,
    out: Path,
    since: str | None,
    volume_size: int,
    overwrite: bool,
    tool: wheelhouse.WheelhouseOptions | None,
) -> ExportResult:
    """Write the bundle. Raises FetchError; what is missing in the store comes as problems."""
    check_output(space.project.root, out)
    tar = writer.is_tar(out, volume_size)
    has = delta.since(since) if since else None
    contents = collect(space)
    done = ExportResult(
        [summary_of(artifact) for artifact in contents.artifacts], problems=contents.problems
    )
    done.problems += (
        publisher_signatures.of_project(space, contents.places) if not contents.problems else []
    )
    if done.problems:
        _log.info("%s is not written: %d problems", out, len(done.problems))
        return done
    with _tool(space, out, tool) as files:
        plan = plan_bundle(contents, has, files)
        done.files, done.bytes = plan.payload_files, plan.payload_bytes
        done.left_out, done.digest = plan.left_out, plan.digest
        _log.info(
            "%s: %d contents, %d bytes; %d left out", out, done.files, done.bytes, done.left_out
        )
        if _is_there(out, plan):
            _log.info("%s is there already: sha256:%s", out, done.digest)
        else:
            _write(space, out, plan, volume_size, overwrite, tar)
            done.written = True
            _log.info("%s is written: sha256:%s", out, done.digest)
    done.bundle_bytes = plan.tar_size if tar else plan.size
    if os.path.isfile(sums_path(str(out))):
        done.volumes = len(parse_sums(Path(sums_path(str(out))).read_text("utf-8"), str(out)))
    return done


@contextmanager
def _tool(
    space: Workspace, out: Path, tool: wheelhouse.WheelhouseOptions | None
) -> Iterator[dict[str, str]]:
    """The tool's wheels in a folder beside the bundle, for as long as it is written."""
    if tool is None:
        yield {}
        return
    parent = nearest_folder(out.absolute().parent)
    with scratch_folder(str(parent)) as folder:
        yield wheelhouse.pack(tool, Path(folder), space.progress.say)


def _is_there(out: Path, plan: BundlePlan) -> bool:
    """Whether the very same bundle is there already, as far as its list of digests tells."""
    if not os.path.lexists(out) and not os.path.lexists(sums_path(str(out))):
        return False
    if not is_bundle(str(out)):
        return False
    try:
        bundle = open_bundle(str(out))
    except FetchError:
        return False
    try:
        return bundle.container.read("SHA256SUMS") == plan.sums and not bundle.structure()
    finally:
        bundle.close()


def _write(
    space: Workspace, out: Path, plan: BundlePlan, volume_size: int, overwrite: bool, tar: bool
) -> None:
    space.progress.begin(len(plan.files), plan.size)
    source = writer.BundleSource(space.progress.advance, _set_aside(space))
    try:
        if tar:
            writer.write_tar(plan, out, source, volume_size, overwrite)
        else:
            writer.write_folder(plan, out, source, overwrite)
    finally:
        source.close()


def _set_aside(space: Workspace) -> Callable[[BundleFile], str]:
    """What turned out to be damaged, in store or tree, is read again before it is trusted; returns
    the command that brings it again."""

    def damaged(file: BundleFile) -> str:
        _log.info("%s does not have the sha256 %s: it is read again", file.path, file.sha256)
        with suppress(OSError):
            inodes = [os.stat(file.path).st_ino]  # before the store puts it elsewhere
            state = State(space.options.into)
            try:
                state.doubt(inodes=inodes)
            except Failure as failure:
                _log.info("what was found is not remembered: %s", failure)
            finally:
                state.close()
        store = type(space.store)(space.store.root)
        store.prove(file.sha256)
        store.close()
        having = [
            artifact
            for _, artifact in space.wanted
            if (locked := space.lock.of(artifact))
            and any(one.sha256 == file.sha256 for one in locked.files)
        ]
        return fetching(space, having, "--overwrite")

    return damaged
