"""`fetch store du|ls|check`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from fetcher import report
from fetcher.commands import common
from fetcher.config import settings
from fetcher.errors import Problem
from fetcher.project.project import find_root
from fetcher.store import gc
from fetcher.store.store import Store
from fetcher.ui.progress import human_bytes


def _open(readonly: bool = True) -> Store:
    return Store(settings.load(find_root(Path.cwd())).store, readonly)


@click.group("store")
def command() -> None:
    """Look into the store of verified files that all projects of this machine share."""


@command.command("du")
@common.json_option
def du(as_json: bool) -> int:
    """How much the store holds."""
    store = _open()
    found = gc.usage(store)
    if as_json:
        report.print_json(report.Report({"store": str(store.root), **asdict(found)}))
        return 0
    print(f"{store.root}")
    print(
        f"{report.counted(found.blobs, 'blob')}, {human_bytes(found.blob_bytes)}, "
        f"of which {human_bytes(found.linked_bytes)} shared with trees"
    )
    print(f"{report.counted(found.parts, 'partial download')}, {human_bytes(found.part_bytes)}")
    if found.damaged:
        print(f"{report.counted(found.damaged, 'damaged blob')} set aside in {store.root}/damaged")
    return 0


@command.command("ls")
@common.json_option
def ls(as_json: bool) -> int:
    """Every blob with its size."""
    rows = sorted(_open().digests())
    if as_json:
        answer = report.Report({"blobs": len(rows)})
        answer.results = [{"sha256": name, "size": stat.st_size} for name, stat in rows]
        report.print_json(answer)
        return 0
    for name, stat in rows:
        print(f"{name}  {stat.st_size:>15,}")
    return 0


@command.command("check")
@common.json_option
def check(as_json: bool) -> int:
    """Read every blob; set aside what is not what its name says (exit 4)."""
    store = _open(readonly=False)
    names = [name for name, _ in store.digests()]
    damaged = [name for name in names if not store.prove(name)]
    store.close()
    problems = [
        Problem(
            "modified",
            f"blob {name} was damaged and is set aside",
            "run `fetch all` in the projects that use it",
            file=name,
        )
        for name in damaged
    ]
    answer = report.Report({"blobs": len(names), "damaged": len(damaged)}, problems=problems)
    if as_json:
        report.print_json(answer)
    else:
        print(f"{len(names) - len(damaged):,} of {report.counted(len(names), 'blob')} sound")
    report.print_problems(problems)
    return answer.exit_code
