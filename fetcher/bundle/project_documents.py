"""A bundle's project after an import: its lock, manifests and layouts, unpacked."""

from __future__ import annotations

from pathlib import Path

from fetcher.config.boundaries import of_project
from fetcher.errors import Failure, Problem, from_os_error
from fetcher.i18n import t
from fetcher.mirror.oci_documents import Contents
from fetcher.verify.contract.regular import MAX_LIST, read_regular


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
