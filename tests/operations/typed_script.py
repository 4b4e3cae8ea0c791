"""A user's script, for the type checker alone: `make types` reads it against an installed copy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import fetcher

if TYPE_CHECKING:
    from typing_extensions import assert_type

    report = fetcher.fetch("quickstart", Path("m.yaml"), into=Path("models"), link="copy")
    assert_type(report, fetcher.Report)
    assert_type(report.ok, bool)
    assert_type(report.summary["downloaded_bytes"], int)
    assert_type(report.problems[0], fetcher.Problem)
    assert_type(report.artifacts[0], fetcher.ArtifactReport)
    assert_type(report.artifacts[0].files[0].size, int | None)
    assert_type(fetcher.path("a/b"), Path)
    assert_type(fetcher.open("."), fetcher.Project)
    assert_type(fetcher.open().check(deep=True), fetcher.Report)
    report.summary["no_such_total"]  # type: ignore[typeddict-item]
    fetcher.fetch(link="tape")  # type: ignore[arg-type]
    fetcher.path(1)  # type: ignore[arg-type]
    fetcher.no_such_name  # type: ignore[attr-defined]  # noqa: B018

    class Shelf(fetcher.Source):
        def candidates(
            self, revision: str, file: fetcher.FileEntry, network: fetcher.Network
        ) -> list[fetcher.Candidate]:
            return [fetcher.UrlCandidate("shelf", f"https://shelf.example/{file.path}")]

        def resolve(self, request: fetcher.Request, network: fetcher.Network) -> fetcher.Resolved:
            return fetcher.Resolved("1", [fetcher.FileEntry("a")])
