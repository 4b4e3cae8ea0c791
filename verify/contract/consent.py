"""Whether the person lets code of an artifact run, and what they say to let it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass


@dataclass(frozen=True)
class CodeConsent:
    """The person's word on the code of one artifact: `artifact` is the name that they give it by.

    It comes from their own settings or their command line; nothing of a project makes one. `once`
    is a command that gives it for one run.
    """

    artifact: str = ""
    given: bool = False
    once: str = ""

    @property
    def how(self) -> str:
        """What the person does to give it."""
        name = shlex.quote(self.artifact) if self.artifact else "NAME"
        once = f", or once: {self.once}" if self.once else ""
        return f"if you trust it: fetch config allow code {name}{once}"


NO_CONSENT = CodeConsent()
