"""What goes wrong with models."""

from __future__ import annotations

from fetcher.errors import PROBE, FetchError, Problem


class ModelError(FetchError):
    """A model cannot be loaded or used."""

    exit_code = PROBE

    def problems(self) -> list[Problem]:
        """The one problem."""
        return [Problem("probe", self.message, self.hint)]


class NotLoaded(ModelError):
    """The model was called before it was loaded, or after it was unloaded."""
