"""A bundle's project after an import: its lock, manifests and layouts, kept and unpacked."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from fetcher.config.boundaries import of_project
from fetcher.errors import Failure, Problem, from_os_error
from fetcher.fs.atomic import write_atomically
from fetcher.i18n import t
from fetcher.mirror.inventory import listing_of
from fetcher.mirror.oci_documents import Contents
from fetcher.store.gc import IMPORTED
from fetcher.store.store import Store
from fetcher.store.upstream_records import UpstreamRecords
from fetcher.verify.contract.regular import MAX_LIST, read_regular


def keep_word(store: Store, contents: Contents, name: str) -> None:
    """Keep what the bundle called `name` says of the Hub's repositories: the person's word, where
    files go into the Hugging Face cache without the Hub. Raises OSError."""
    records = UpstreamRecords.of_bundles(store.root)
    for artifact in contents.artifacts:
        listing = listing_of(artifact, name)
        if listing is not None:
            records.add_pages(listing)


def keep_project(store: Store, contents: Contents) -> None:
    """Keep what the bundle's lock needs from `fetch gc`, and let `fetch serve --store` show it."""
    lock = contents.documents.get("fetch.lock")
    if lock is None:
        return
    name = hashlib.sha256(lock).hexdigest()[:24]
    folder = store.root / IMPORTED / name
    for document, data in contents.documents.items():
        write_atomically(folder.joinpath(*document.split("/")), data)
    entry = store.root / "projects" / f"{name}.json"
    write_atomically(entry, json.dumps({"root": str(folder.absolute())}).encode())


def unpack_project(contents: Contents, target: Path) -> list[Problem]:
    """Write the lock, manifests and layouts into a project; files that differ are left alone."""
    problems = []
    project = of_project(target)
    for name, data in sorted(contents.documents.items()):
        path = target.joinpath(*name.split("/"))
        try:
            if project.real_path(name).exists():
                if read_regular(path, MAX_LIST) != data:
                    problems.append(
                        Problem(
                            "conflict",
                            t("{path} is there already and differs from the bundle's", path=path),
                            t("compare them, or choose another folder with --project"),
                            file=name,
                        )
                    )
                continue
            project.write(name, data)
        except Failure as failure:
            problems.append(failure.problem.about("", name))
        except OSError as error:
            problems.append(from_os_error(error, t("writing {path}", path=path)).problem)
    return problems
