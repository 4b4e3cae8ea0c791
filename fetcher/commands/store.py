"""`fetch store du|ls|check`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from fetcher.commands import common
from fetcher.config import settings
from fetcher.errors import Problem
from fetcher.project.project import find_root
from fetcher.reporting import envelope
from fetcher.store import gc
from fetcher.store.store import Store
from fetcher.ui.units import human_bytes


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
        envelope.print_json(envelope.Answer({"store": str(store.root), **asdict(found)}))
        return 0
    print(f"{store.root}")
    print(
        f"{envelope.counted(found.blobs, 'blob')}, {human_bytes(found.blob_bytes)}, "
        f"of which {human_bytes(found.linked_bytes)} shared with trees"
    )
    print(f"{envelope.counted(found.parts, 'partial download')}, {human_bytes(found.part_bytes)}")
    if found.damaged:
        print(
            f"{envelope.counted(found.damaged, 'damaged blob')} set aside in {store.root}/damaged"
        )
    return 0


@command.command("ls")
@common.json_option
def ls(as_json: bool) -> int:
    """Every blob with its size."""
    rows = sorted(_open().digests())
    if as_json:
        answer = envelope.Answer({"blobs": len(rows)})
        answer.results = [{"sha256": name, "size": stat.st_size} for name, stat in rows]
        envelope.print_json(answer)
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
    answer = envelope.Answer({"blobs": len(names), "damaged": len(damaged)}, problems=problems)
    if as_json:
        envelope.print_json(answer)
    else:
        print(f"{len(names) - len(damaged):,} of {envelope.counted(len(names), 'blob')} sound")
    envelope.print_problems(problems)
    return answer.exit_code
