"""Files inside wheels of a package index."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from fetcher.errors import Failure
from fetcher.i18n import t
from fetcher.network.session import Network
from fetcher.sources.base import (
    Candidate,
    FileEntry,
    Request,
    Resolved,
    Source,
    WheelCandidate,
    from_top,
)
from fetcher.sources.git_fields import path_complaint
from fetcher.yamldoc.schema import Field, Text

REQUIREMENT = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?==[A-Za-z0-9][A-Za-z0-9.!+_-]*"


@dataclass(frozen=True)
class PyPI(Source):
    """Files inside a wheel that pip finds under this machine's own index settings."""

    package: str
    path: str = ""

    type: ClassVar[str] = "pypi"
    mirror_only: ClassVar[bool] = True
    fields: ClassVar[dict[str, Field]] = {
        "package": Field(
            Text(REQUIREMENT, t("a pinned package such as name==1.0")),
            t("name==version"),
            required=True,
        ),
        "path": Field(Text(check=path_complaint), t("folder inside the wheel")),
    }

    @classmethod
    def from_short(cls, text: str) -> dict[str, str]:
        """`name==version[:path]`."""
        package, _, path = text.partition(":")
        if not re.fullmatch(REQUIREMENT, package):
            raise ValueError(t("expected pypi:name==version, with :path if wanted"))
        return {"package": package, "path": path} if path else {"package": package}

    def describe(self) -> str:
        """The short form, without the folder."""
        return f"pypi:{self.package}"

    def resolve(self, request: Request, network: Network) -> Resolved:
        """Never called: a package index is a mirror only."""
        raise Failure("refused", t("a package index can only be a mirror"))

    def candidates(self, revision: str, file: FileEntry, network: Network) -> list[Candidate]:
        """The member of the wheel."""
        member = from_top(self.path, file.path)
        return [WheelCandidate(self.type, self.package, member)]
