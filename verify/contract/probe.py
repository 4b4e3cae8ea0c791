"""What a probe has to offer, built in or from another package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from fetcher.verify.contract.context import Context
    from fetcher.verify.contract.foreign import ProbeOptions
    from fetcher.verify.contract.options import Problem
    from fetcher.verify.contract.protocol import ProbeRequest


class Probe(Protocol):
    """A kind of proof. A probe's module holds one instance, `PROBE`, and imports only stdlib.

    `requires` are the libraries that every run needs, as (import name, name to install). A probe
    may have `related`: the options whose values are ids of other artifacts (one, or a list), which
    it then finds in `request.related` if they are laid out.
    """

    type: str
    requires: tuple[tuple[str, str], ...]

    def validate_options(self, options: ProbeOptions) -> list[Problem]:
        """Return all problems of a manifest's options; runs under fetch's own interpreter."""
        ...

    def run(self, request: ProbeRequest, context: Context) -> None:
        """Load and infer, telling `context` the checks and metrics.

        An exception is a failure of this probe; `ProbeError` carries its own words.
        """
        ...
