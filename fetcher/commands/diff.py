"""`fetch diff`: what two locks differ in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import click

from fetcher.commands import common
from fetcher.errors import Problem
from fetcher.fs.safe_paths import printable
from fetcher.i18n import echo, join, n, t
from fetcher.project.project import find_root
from fetcher.reporting import envelope
from fetcher.ui.units import human_bytes

if TYPE_CHECKING:
    from fetcher.operations.diff_locks import LockDiff
    from fetcher.project.lock_diff import ArtifactChange, FileChange
    from fetcher.project.lockfile import LockedArtifact
    from fetcher.sources.base import FileEntry

_FILES, _ARTIFACTS = 30, 100  # at most, in words; JSON has all
_WORDS = {
    "added": t("added"),
    "removed": t("removed"),
    "changed": t("changed"),
    "learned": t("learned"),
}


class _FileFacts(TypedDict):
    size: int | None
    sha256: str | None
    git_blob: str | None
    md5: str | None
    published: str | None


class _FileRow(TypedDict):
    path: str
    state: str
    old: _FileFacts | None
    new: _FileFacts | None


@click.command("diff")
@click.argument("old", required=False)
@click.argument("new", required=False)
@click.option(
    "--exit-code",
    "by_code",
    is_flag=True,
    help="Exit with 4 if the locks differ, with 7 if only the manifest is contradicted.",
)
@common.json_option
def command(old: str | None, new: str | None, by_code: bool, as_json: bool) -> int:
    """Show what two locks differ in: artifacts, revisions, files with sizes and digests.

    OLD and NEW are files, or git revisions; by default the last commit's lock and the one that is
    there. First comes where the new one contradicts the manifests.
    """
    from fetcher.operations.diff_locks import diff

    found = diff(find_root(Path.cwd()), old, new)
    differs = Problem("difference", t("the locks differ"), t("review what changed"))
    problems = [*found.problems, *[differs] * bool(found.changes)] if by_code else []
    answer = envelope.Answer(_summary(found), problems=problems)
    if as_json:
        answer.results = [*_contradictions(found), *map(_artifact, found.changes)]
        envelope.print_json(answer)
    else:
        _print(found)
    return answer.exit_code


def _summary(found: LockDiff) -> dict[str, object]:
    files = [file.state for change in found.changes for file in change.files]
    return {
        "old": found.old,
        "new": found.new,
        "artifacts": len(found.changes),
        "files": len(files),
        **{f"{state}_files": files.count(state) for state in _WORDS},
        "contradictions": len(found.contradictions),
        "outdated": len(found.outdated),
        "unread": found.unread,
    }


def _contradictions(found: LockDiff) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = [
        {
            "kind": "contradiction",
            "manifest": item.manifest,
            "id": item.artifact,
            "file": item.file,
            "fact": item.fact,
            "stated": item.stated,
            "locked": item.locked,
            "message": problem.message,
            "hint": problem.hint,
        }
        for item, problem in zip(found.contradictions, found.problems, strict=True)
    ]
    for name, why in found.outdated.items():
        manifest, _, artifact = name.partition("/")
        rows.append({"kind": "outdated", "manifest": manifest, "id": artifact, "message": why})
    return rows


def _artifact(change: ArtifactChange) -> dict[str, object]:
    return {
        "kind": "artifact",
        "manifest": change.manifest,
        "id": change.id,
        "state": change.state,
        "old": _head(change.old),
        "new": _head(change.new),
        "files": [_file(file) for file in change.files],
    }


def _head(item: LockedArtifact | None) -> dict[str, str] | None:
    if item is None:
        return None
    return {
        "source": item.source,
        "revision": item.revision,
        "said_by": item.said_by,
        "said_at": item.said_at,
    }


def _file(change: FileChange) -> _FileRow:
    return {
        "path": change.path,
        "state": change.state,
        "old": _facts(change.old),
        "new": _facts(change.new),
    }


def _facts(file: FileEntry | None) -> _FileFacts | None:
    if file is None:
        return None
    return {
        "size": file.size,
        "sha256": file.sha256,
        "git_blob": file.git_blob,
        "md5": file.md5,
        "published": file.published,
    }


def _print(found: LockDiff) -> None:
    old, new = printable(found.old), printable(found.new)
    if found.problems or found.outdated:
        echo(t("!!! {new} CONTRADICTS THE MANIFEST", new=new))
        _print_few([f"!!! {problem.message}" for problem in found.problems])
        _print_few([f"!!! {name}: {why}" for name, why in found.outdated.items()])
        echo(found.problems[0].hint if found.problems else t("run `fetch lock`"))
        echo("")
    for line in found.unread:
        echo(t("not compared with its manifest: {line}", line=line))
    if not found.changes:
        echo(t("nothing differs between {old} and {new}", old=old, new=new))
        return
    for change in found.changes[:_ARTIFACTS]:
        _print_artifact(change)
    if (more := len(found.changes) - _ARTIFACTS) > 0:
        echo(t("… and {count:,} more artifacts", count=more))
    files = sum(len(change.files) for change in found.changes)
    what = (
        n("{count:,} artifact", "{count:,} artifacts", len(found.changes)),
        n("{count:,} file", "{count:,} files", files),
    )
    echo(t("{old} -> {new}: different in {what}", old=old, new=new, what=join(what)))


def _print_few(lines: list[str]) -> None:
    for line in lines[:_FILES]:
        echo(line)
    if (more := len(lines) - _FILES) > 0:
        echo(t("… and {count:,} more", count=more))


def _print_artifact(change: ArtifactChange) -> None:
    echo(t("{word} {name}", word=_WORDS[change.state], name=f"{change.manifest}/{change.id}"))
    for name in ("source", "revision", "said_by"):
        old, new = (getattr(item, name, "") for item in (change.old, change.new))
        if old != new or name == "source":
            echo(f"  {name:<9} {_texts(old, new)}")
    for file in change.files[:_FILES]:
        _print_file(file)
    if (more := len(change.files) - _FILES) > 0:
        echo(t("  … and {count:,} more files", count=more))


def _texts(old: str, new: str) -> str:
    """Both as far as they can be shown: without queries, and cut short."""
    from fetcher.project.lockfile import shown_source

    one, other = shown_source(old)[:200], shown_source(new)[:200]
    same = one == other and old != new
    return str(t("{text} (its query or its end differs)", text=one)) if same else _arrow(one, other)


def _arrow(old: str, new: str) -> str:
    return new if old == new else " -> ".join(text or "-" for text in (old, new))


def _print_file(file: FileChange) -> None:
    sizes = [_size(entry) for entry in (file.old, file.new) if entry is not None]
    echo(
        t(
            "  {word} {path}  {size}",
            word=_WORDS[file.state],
            path=printable(file.path)[:200],
            size=_arrow(sizes[0], sizes[-1]),
        )
    )
    for name in ("sha256", "git_blob", "md5", "published"):
        old, new = (getattr(entry, name, None) or "" for entry in (file.old, file.new))
        if old != new:
            shown = new if file.old is None else old if file.new is None else _arrow(old, new)
            echo(f"      {name:<8} {shown}")


def _size(entry: FileEntry) -> str:
    return "?" if entry.size is None else f"{human_bytes(entry.size)} ({entry.size:,})"
